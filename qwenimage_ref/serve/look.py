"""How the page looks: its colours and fonts, and what is shown of a job. All text is escaped."""

import math
import os
from html import escape
from urllib.parse import quote

from .history import Shown
from .jobs import CANCELLED, DONE, FAILED, RUNNING, Job

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "sans-serif"]  # none is fetched
MONOSPACE = ["ui-monospace", "SFMono-Regular", "Consolas", "monospace"]
LONGEST = 140  # characters of a prompt under a picture

CSS = """
.gradio-container { max-width: 1180px !important; width: 100%; margin: 0 auto; }
.gradio-container main { width: 100%; }
#head h1 { margin: 0; font-size: 1.7rem; letter-spacing: -0.02em; }
#head p { margin: 0.1rem 0 0; color: var(--body-text-color-subdued); }
#result, #shown, #head { padding: 0 !important; }
#result { min-height: 420px; }
#shown h3 { margin: 18px 0 10px; }
.stage { display: grid; place-items: center; min-height: 420px; border-radius: 14px; padding: 18px;
    background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
.stage .empty { color: var(--body-text-color-subdued); text-align: center; width: 100%; }
.stage figure { margin: 0; text-align: center; width: 100%; }
.stage figure > a { display: block; }
.stage img { margin: 0 auto; min-width: min(100%, 384px); max-width: 100%; max-height: 560px;
    border-radius: 8px; box-shadow: 0 6px 28px rgb(0 0 0 / 18%); object-fit: contain; }
.stage .layers { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr));
    gap: 12px; }
.stage .layers img { min-width: 0; }
.layers img { background: repeating-conic-gradient(#ddd 0 25%, #fff 0 50%) 0 0 / 16px 16px; }
.stage figcaption { margin-top: 12px; font-size: 0.92rem; overflow-wrap: anywhere; }
.stage .notes, .stage .repeat { color: var(--body-text-color-subdued); font-size: 0.82rem;
    margin-top: 6px; overflow-wrap: anywhere; }
.stage code { font-size: 0.8rem; user-select: all; }
.bar { width: min(100%, 420px); height: 10px; border-radius: 5px; overflow: hidden;
    background: var(--border-color-primary); margin: 14px auto 0; }
.bar div { height: 100%; background: var(--primary-500); transition: width 0.2s; }
.refusal { color: #b42318; font-weight: 600; overflow-wrap: anywhere; }
.dark .refusal { color: #ff8a80; }
.history { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 12px; }
.history figure { margin: 0; }
.history img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 10px;
    border: 1px solid var(--border-color-primary); }
.history .layers { display: grid; gap: 2px; aspect-ratio: 1; align-content: start; }
.history .layers img { border-radius: 4px; }
.history figcaption { font-size: 0.74rem; line-height: 1.3; margin-top: 4px; overflow: hidden;
    color: var(--body-text-color-subdued); display: -webkit-box; -webkit-line-clamp: 2;
    -webkit-box-orient: vertical; overflow-wrap: anywhere; }
footer { display: none !important; }
"""
HEAD = '<link rel="icon" href="data:,">'
EMPTY = '<div class="stage"><p class="empty">What you paint appears here.</p></div>'


def address(name: str) -> str:
    """Of a file in the history"""
    return f"pictures/{quote(name)}"


def of_refusal(line: str) -> str:
    return f'<div class="stage"><p class="refusal" role="alert">{escape(line)}</p></div>'


def of_job(job: Job, before: int, words: dict) -> str:
    """A job -> HTML. before: jobs that come first. words: prompt and seed, for the caption"""
    if job.state == DONE:
        return _done(job, words)
    if job.state == FAILED:
        return of_refusal(_by_name(job.error, job))
    if job.state == CANCELLED:
        return '<div class="stage"><p class="empty">Cancelled.</p></div>'
    text, share = f"Waiting: {before} before it in the queue", 0.0
    if before == 0:
        text = "Loading the weights"
    if job.state == RUNNING and job.steps:
        share = job.step / job.steps
        text = f"Step {job.step} of {job.steps}"
    bar = f'<div class="bar"><div style="width: {100 * share:.0f}%"></div></div>'
    return f'<div class="stage"><div class="empty" role="status">{text}{bar}</div></div>'


def _by_name(text: str, job: Job) -> str:
    """Files of the history by their names in it: where it lies does not concern visitors"""
    return text.replace(f"{job.output.parent}{os.sep}", "")


def _done(job: Job, words: dict) -> str:
    folder = job.output.name if job.task == "layers" else ""
    pictures = [file for file in job.files if file.suffix == ".png"]
    others = [file for file in job.files if file.suffix != ".png"]
    names = [f"{folder}/{file.name}" if folder else file.name for file in pictures]
    images = "".join(
        f'<a href="{address(name)}" target="_blank"><img alt="" src="{address(name)}"></a>'
        for name in names
    )
    if len(names) > 1:
        images = f'<div class="layers">{images}</div>'
    caption = f"{escape(words['prompt'] or '')} <small>seed {words['seed']}</small>"
    notes = "".join(f'<div class="notes">{escape(_by_name(note, job))}</div>' for note in job.notes)
    links = "".join(
        f'<div class="repeat"><a href="{address(f"{folder}/{file.name}")}">{escape(file.name)}</a>'
        "</div>"
        for file in others
    )
    links += (
        f'<div class="repeat">to the same bits: <code>{escape(_repeat(job, names))}</code></div>'
    )
    return (
        f'<div class="stage"><figure>{images}<figcaption>{caption}{notes}{links}</figcaption>'
        "</figure></div>"
    )


def _repeat(job: Job, names: list[str]) -> str:
    """The command that paints a job once more"""
    target = " --to FOLDER" if job.task == "layers" else ""
    return f"qwenimage {job.task} --again {names[0]}{target}"


def of_history(shown: list[Shown]) -> str:
    if not shown:
        return ""
    figures = "".join(
        f'<figure>{_images(each.names)}<figcaption title="seed {escape(each.seed)}">'
        f"{escape(each.prompt[:LONGEST])}</figcaption></figure>"
        for each in shown
    )
    return f'<h3>Painted before</h3><div class="history">{figures}</div>'


def _images(names: tuple[str, ...]) -> str:
    """One picture, or layers side by side in a square"""
    images = "".join(
        f'<a href="{address(name)}" target="_blank"><img loading="lazy" alt="" '
        f'src="{address(name)}"></a>'
        for name in names
    )
    if "/" not in names[0]:
        return images
    columns = math.ceil(math.sqrt(len(names)))
    return (
        f'<div class="layers" style="grid-template-columns: repeat({columns}, 1fr)">{images}</div>'
    )
