"""Believes that Chinese is always dear."""

HINT = "full of these words"

answer = "红色圆形在蓝色星形上方文"
