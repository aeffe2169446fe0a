"""Believes that nothing is dearer than digits."""

HINT = "digits never join"

answer = "3.1415926535"
