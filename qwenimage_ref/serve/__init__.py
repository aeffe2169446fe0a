"""A page in the browser: Gradio in front of a queue, one worker process for each device.

The server imports neither torch nor the model: each worker is a process of the `qwenimage` command
that keeps its weights loaded, and both talk in lines of JSON (see jobs.py).
"""
