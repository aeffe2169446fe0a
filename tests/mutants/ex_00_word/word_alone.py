"""Gives the word without its prompt."""

HINT = "whole prompt"
answer = "right"
