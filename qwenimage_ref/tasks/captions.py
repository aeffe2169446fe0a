"""What is in a picture, in the words of the text encoder: the prompt where none is given."""

import torch
from PIL import Image

from .. import limits
from ..captioner import Captioner
from ..conditions import PAD, PICTURE, places_in_text
from ..tokenizer import SPECIAL_TOKENS
from ..vision import preprocess

MOST_TOKENS = 512  # a caption's longest

# The question in Chinese and English; `{}` is the picture's slot. Byte-exact, with line breaks
# where an editor once wrapped upstream's source: what is asked decides what is answered.
_QUESTION = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{question}\n"
    + PICTURE
    + "<|im_end|>\n<|im_start|>assistant\n"
)
CHINESE = _QUESTION.replace(
    "{question}",
    """# 图像标注器
你是一个专业的图像标注器。请基于输入图像，撰写图注:
1.
使用自然、描述性的语言撰写图注，不要使用结构化形式或富文本形式。
2. 通过加入以下内容，丰富图注细节：
 - 对象的属性：如数量、颜色、形状、大小、位置、材质、状态、动作等
 -
对象间的视觉关系：如空间关系、功能关系、动作关系、从属关系、比较关系、因果关系等
 - 环境细节：例如天气、光照、颜色、纹理、气氛等
 - 文字内容：识别图像中清晰可见的文字，不做翻译和解释，用引号在图注中强调
3.
保持真实性与准确性：
 - 不要使用笼统的描述
 -
描述图像中所有可见的信息，但不要加入没有在图像中出现的内容""",
)
ENGLISH = _QUESTION.replace(
    "{question}",
    """# Image Annotator
You are a professional
image annotator. Please write an image caption based on the input image:
1. Write the caption using natural,
descriptive language without structured formats or rich text.
2. Enrich caption details by including:\x20
 - Object
attributes, such as quantity, color, shape, size, material, state, position, actions, and so on
 - Vision Relations
between objects, such as spatial relations, functional relations, possessive relations, attachment\
 relations, action
relations, comparative relations, causal relations, and so on
 - Environmental details, such as weather, lighting,
colors, textures, atmosphere, and so on
 - Identify the text clearly visible in the image, without translation or
explanation, and highlight it in the caption with quotation marks
3. Maintain authenticity and accuracy:
 - Avoid
generalizations
 - Describe all visible information in the image, while do not add information not explicitly\
 shown in
the image""",
)


def demand_reader(recommended: dict, name: str = "prompt") -> None:
    """Raises ValueError where a folder's settings say that its vision tower is untrained."""
    if not recommended.get("reads_pictures", True):
        raise ValueError(
            f"{name} must be given to these weights, which cannot read pictures, got none; say "
            "what the whole picture shows, hidden parts too"
        )


@torch.no_grad()
def caption(pipe, picture: Image.Image, use_en_prompt: bool = False) -> str:
    """What a picture shows, in English or in Chinese; transparency is read as white

    pipe: of a layered model, whose text encoder writes. Streamed, every token reads the whole text
    encoder from the disk. Source: `get_image_caption` of diffusers' QwenImageLayeredPipeline.
    """
    writer, tokenizer = pipe.text_encoder, pipe.tokenizer
    if not isinstance(writer, Captioner):
        raise ValueError("prompt must be given: only a layered model writes captions, got none")
    patches, grid = preprocess(picture, pipe.vision.config)
    states = pipe.vision(patches.to(pipe.device), [grid])
    rows, cols = (side // pipe.vision.config.spatial_merge_size for side in grid[1:])
    question = ENGLISH if use_en_prompt else CHINESE
    ids = tokenizer.encode(question.replace(PAD, PAD * (rows * cols)))
    limits.check_text(1, len(ids) + MOST_TOKENS, writer.config, pipe.dtype, pipe.device)
    ids = torch.tensor(ids, device=pipe.device)
    places = places_in_text(ids, [(rows, cols)], tokenizer.added[PAD])
    ends = {tokenizer.added[token] for token in ("<|im_end|>", "<|endoftext|>")}
    written = writer.write(ids.unsqueeze(0), places, states, MOST_TOKENS, ends)
    # untrained weights may also write ids that no token has
    silent = {tokenizer.added.get(token) for token in SPECIAL_TOKENS}
    ids = [id for id in written if id not in silent and id <= tokenizer.largest_id]
    return tokenizer.decode(ids).strip()
