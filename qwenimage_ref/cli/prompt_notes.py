"""What `qwenimage paint` does to a prompt, and says of it: --rewrite, --quiet."""

from .console import say


def sent_prompt(options) -> str:
    """The prompt that is painted; with --rewrite another one, which is printed."""
    if not options.rewrite:
        return options.prompt
    from ..checkpoint import locate
    from ..pocket.notes import training_of
    from ..posters.rewriting import rewrite
    from ..prompt_rewriting import finished

    training = training_of(locate.resolve(options.weights))
    if training is None:
        prompt = finished(options.prompt)
        line = f"painting {prompt} (a magic phrase appended)"
    else:
        result = rewrite(options.prompt, training.edition)
        prompt = result.prompt
        line = f"painting {prompt} ({_changes(result, options.prompt)})"
    if not options.quiet:
        say(f"note: {line}")
    return prompt


def _changes(result, prompt: str) -> str:
    if result.scene is None:
        known = "no shape in it is known" if result.dropped else "it is in the grammar as it is"
        return f"not rewritten, {known}"
    changes = ["rewritten into the pocket model's grammar"]
    changes += [f"without {', '.join(result.dropped)}"] if result.dropped else []
    changes += [f"assumed: {', '.join(result.assumed)}"] if result.assumed else []
    return "; ".join(changes)


def note_what_is_new(prompt: str, size: tuple[int, int], options) -> None:
    """Print what a pocket model was never trained on, in the prompt and as a size in pixels.

    Other weights are not judged, nor is a prompt with --lora, which may have taught any word.
    """
    if options.quiet:
        return
    from ..checkpoint import locate
    from ..pocket.notes import note_of_prompt, note_of_size, training_of

    training = training_of(locate.resolve(options.weights))
    if training is None:
        return
    notes = [] if options.lora else [note_of_prompt(prompt, training.edition)]
    notes += [] if options.padding_mask_crop is not None else [note_of_size(size, training)]
    for note in filter(None, notes):
        say(f"note: {note}")
