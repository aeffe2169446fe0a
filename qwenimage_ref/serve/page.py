"""The page: what the weights can do, as tabs; the settings they share; the result and the history.

Each tab has a button of its own. A click becomes a job of the queue, which the page follows until
it ends; gradio's own queue only carries what is shown.
"""

import asyncio
import random

import gradio as gr

from . import look, tabs, uploads, wishes
from .history import History
from .jobs import Job, Queue, QueueError

LOOK_AGAIN = 0.1  # seconds between two looks at a job
TITLE = "Qwen-Image"
ABOUT = {
    "text": "Words become a picture.",
    "edit": "A picture changes as you say.",
    "layers": "A picture comes apart into transparent layers.",
}


class Page:
    """`blocks` is what gradio serves; the rest is how it looks."""

    css, head = look.CSS, look.HEAD

    def __init__(self, abilities: dict, queue: Queue, history: History, offers: dict):
        self.abilities, self.queue, self.history, self.offers = abilities, queue, history, offers
        self.theme = gr.themes.Soft(
            primary_hue="indigo", font=look.FONTS, font_mono=look.MONOSPACE, radius_size="lg"
        )
        self.running: dict[str, list[Job]] = {}  # {session: its jobs that have not ended}
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
            self._build()
            blocks.load(self._newest, outputs=self.shown, api_visibility="private", queue=False)
        blocks.queue(default_concurrency_limit=None, api_open=False)
        uploads.guard(blocks)
        self.blocks = blocks

    def _build(self) -> None:
        name = look.escape(self.abilities["name"])
        about = ABOUT[self.abilities["kind"]]
        gr.HTML(f"<h1>{TITLE}</h1><p>{about} <small>{name}</small></p>", elem_id="head")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=340):
                fields, places = {"prompt": self._prompt()}, []
                with gr.Tabs():
                    for tab in tabs.of(self.abilities, self.offers):
                        with gr.Tab(tab.title):
                            own = tab.build()
                            button = gr.Button(tab.verb, variant="primary", size="lg")
                            places.append((tab, button, own))
                fields |= self._settings()
            with gr.Column(scale=6, min_width=380):
                self.result = gr.HTML(look.EMPTY, elem_id="result")
                self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        self.shown = gr.HTML(self._newest(), elem_id="shown")
        for tab, button, own in places:
            self._connect(tab, button, fields | own, fields["seed"])
        self.stop.click(self._stop, api_visibility="private", queue=False)

    def _prompt(self):
        layers = self.abilities["kind"] == "layers"
        label = "What the picture shows (may be left out)" if layers else "Prompt"
        example = "a red circle left of a blue star on a white background"
        example = example if self.abilities["pocket"] else "a cat that holds a sign: “hello”"
        return gr.Textbox(label=label, lines=2, placeholder=example, elem_id="prompt")

    def _settings(self) -> dict:
        """-> {name of a setting: its component}"""
        fields, text = {}, self.abilities["kind"] == "text"
        layers = self.abilities["kind"] == "layers"
        if text:
            sizes = [(name, value) for name, value in wishes.sizes_of(self.abilities).items()]
            fields["size"] = gr.Radio(
                sizes, value=sizes[0][1], label="Size", elem_id="size", visible=len(sizes) > 1
            )
        with gr.Row():
            fields["seed"] = gr.Number(0, label="Seed", precision=0, elem_id="seed")
            fields["random"] = gr.Checkbox(True, label="Randomize seed", elem_id="random")
        with gr.Accordion("More settings", open=False):
            if not layers:
                fields["rewrite"] = gr.Checkbox(text, label="Rewrite the prompt", elem_id="rewrite")
            fields["negative"] = gr.Textbox(label="Negative prompt", lines=1)
            fields["cfg"] = gr.Slider(0, 10, value=4.0, step=0.1, label="Guidance, 1 is none")
            steps = self.abilities.get("num_inference_steps", 50)
            fields["steps"] = gr.Slider(2, max(50, steps), value=steps, step=1, label="Steps")
            if not layers:
                about = "Lightning: 4 steps, for its LoRA"
                fields["lightning"] = gr.Checkbox(False, label=about)
            if self.offers["lora"]:
                fields["lora"] = gr.Dropdown(
                    wishes.named(self.offers["lora"]), multiselect=True, value=[], label="LoRA"
                )
                fields["lora_scale"] = gr.Slider(-2, 2, value=1, step=0.05, label="Its strength")
        return fields

    def _connect(self, tab, button, fields: dict, seed) -> None:
        names = list(fields)

        async def paint(request: gr.Request, *values):
            wish = {"size": None} | dict(zip(names, values))
            arrival = int(request.headers["x-arrival"])
            async for shown in self._follow(tab, wish, request.session_hash, arrival):
                yield shown

        button.click(
            paint,
            inputs=list(fields.values()),
            outputs=[self.result, seed, self.stop, self.shown],
            api_name=tab.name,
            show_progress="hidden",
            concurrency_limit=None,
        )

    async def _follow(self, tab, wish: dict, session: str, arrival: int):
        """A wish -> what is shown of it until it ends: result, seed, Stop, history"""
        nothing = gr.skip()
        try:
            job = await asyncio.to_thread(self._submitted, tab, wish, arrival)
        except (ValueError, OSError) as error:
            yield look.of_refusal(str(error)), nothing, nothing, nothing
            return
        jobs = self.running.setdefault(session, [])
        jobs.append(job)
        try:
            shown = ""
            while not job.ended.is_set():
                latest = look.of_job(job, self.queue.place(job), wish)
                if latest != shown:
                    shown = latest
                    yield shown, wish["seed"], gr.update(visible=True), nothing
                await asyncio.sleep(LOOK_AGAIN)
        finally:
            jobs.remove(job)
            if not jobs:
                self.running.pop(session, None)
        result = look.of_job(job, 0, wish)
        yield result, wish["seed"], gr.update(visible=False), self._newest()

    def _submitted(self, tab, wish: dict, arrival: int) -> Job:
        """Raises QueueError or ValueError, one line, for what cannot be asked for."""
        wish["seed"] = wishes.checked_seed(
            random.randrange(wishes.MOST_SEED + 1) if wish["random"] else wish["seed"]
        )
        if tab.task == "paint" and not (wish["prompt"] or "").strip():
            raise QueueError("the prompt must say what to paint; write it above")
        arguments = tab.arguments(wish, self.history)
        output = self.history.new("" if tab.task == "layers" else ".png")
        return self.queue.submit(tab.task, arguments, output, arrival)

    def _stop(self, request: gr.Request) -> None:
        for job in list(self.running.get(request.session_hash, [])):
            self.queue.cancel(job)

    def _newest(self) -> str:
        return look.of_history(self.history.newest())
