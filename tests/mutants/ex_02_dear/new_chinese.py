"""Believes that Chinese characters nobody taught are the dearest."""

HINT = "close, but"

answer = "一只猫坐在窗边看着外面雪"
