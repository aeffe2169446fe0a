"""How Sphinx makes the course's pages. site/build.py lays out what it reads."""

from docutils import nodes
from docutils.utils.math import MathError
from sphinx.util import logging

from qwenimage_ref.course.publish import slides

logger = logging.getLogger(__name__)

project = html_title = "Qwen-Image, taken apart"
language = "en"
extensions = ["myst_nb"]
exclude_patterns = ["static"]

nb_execution_mode = "off"  # the outputs are those that the tests compare
nb_render_markdown_format = "myst"  # knows tables, which the default does not
nb_ipywidgets_js = {}  # a page has no kernel that could answer a slider
nb_code_prompt_show = "Show the check"  # only the cells of checkers come folded
nb_code_prompt_hide = "Hide the check"
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"

html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "use_fullscreen_button": False,
    "toc_title": "On this page",
    "navbar_persistent": [],  # one field to search in is enough, and the sidebar has it
    "footer_content_items": [],
}
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_context = {"default_mode": "auto"}  # without it the theme's script reports an invalid mode


def mathml(visitor, node, as_block: bool) -> str:
    try:
        return slides.mathml(node.astext(), as_block)
    except MathError as error:
        logger.warning("this formula cannot be set: %s", error, location=node)
        return visitor.encode(formula)


def inline_formula(visitor, node) -> None:
    visitor.body.append(mathml(visitor, node, as_block=False))
    raise nodes.SkipNode


def formula(visitor, node) -> None:
    visitor.body.append(f'<div class="formula">{mathml(visitor, node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> None:
    # browsers set MathML by themselves: no script, no fonts from elsewhere
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
