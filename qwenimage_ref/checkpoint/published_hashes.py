"""What is published of the official files: their sizes in bytes and their sha256.

Source: the list of all 30 files of Qwen/Qwen-Image-2512 at revision 25468b98, of 57,704,595,735
bytes, and the manifests of other releases that have some of the same files. Of three files of the
list no size is published.
"""

from .shards import shard_name

TEXT_ENCODER = [  # files of every release
    (4_968_243_304, "d725335e4ea2399be706469e4b8807716a8fa64bd03468252e9f7acf2415fee4"),
    (4_991_495_816, "b1830db6908dcc76df3a71492acbcf2b8cac130114cf1f3c2d9edae8de8c6de3"),
    (4_932_751_040, "09c1807c6d00d7cab94f7db39d4c02ebb8537225ccde383861ac48db97945aa6"),
    (1_691_924_384, "5dd068336d14d45ffb43cef374d286cc6ba9d8741b028f90a7d040d847961f4a"),
]
VAE = [
    (253_806_966, "0c8bc8b758c649abef9ea407b95408389a3b2f610d0d10fcb054fe171d0a8344"),
]
TRANSFORMER_2512 = [
    (4_989_364_312, "1abb592dfb6701994f11dbbe1228d99fef1246e2cdd119a73e030da7c2b4d795"),
    (4_984_214_160, "f725018bd0b6b54a1529b38f20d38840b69aceefe843b443949e0e035799e88b"),
    (4_946_470_000, "3de6b71c7d756b4ead46c475f02bc27ff9efe64c43ce2b6790afb9fea81d821b"),
    (4_984_213_736, "c6877663a33e453e3e7fb73d1c6d006612a3e7b29d6a9f84d697383015e2f4b8"),
    (4_946_471_896, "31ce58f75ddfaa3851a95397ae5b22e8e435ded5f021dd7d903e138e12586d2e"),
    (4_946_451_560, "e8c1521290054c832e50086e65e50222e8e9b85cefb595667bc82ee091854772"),
    (4_908_690_520, "33847ad316bdc789f4b0c522cd0c388a025c6254e6e5b3f9626a6afe175655d3"),
    (4_984_232_856, "770716dc6e0c7007c2e8fba297f075cae23b45985a4cda3ec4dae5f7b559c03c"),
    (1_170_918_840, "3f8213dfaaf5aacba65f42c33bc77bb5926506755b1503fa6fa323750088fc0c"),
]
TRANSFORMER_EDIT_2511 = [
    (9_973_578_592, "2a0c30c9ba44a5f11c21ca139e37951430bbde814ff4e0b5b1a68b80530e7a1a"),
    (9_987_326_072, "54ec249b07b4376e19cf16b764054f03ca03ae2cfbd9939453e2085f4e9bd259"),
    (9_987_307_440, "c55157843525653161e8f6af5acc670ba3aceff04284f7cf657199d24d065e16"),
    (9_930_685_712, "ffcfb5a4895702635890a67bad183591e0ae515d794bdcb26e217b27a7f6d12d"),
    (982_130_472, "2b2556b736629e10a5a0dfa14606f2057f4f81c2ba53f94103682c7ac42d4940"),
]


def _shards(part: str, stem: str, files: list) -> dict[str, tuple[int, str]]:
    return {
        f"{part}/{shard_name(stem, number, len(files))}": file
        for number, file in enumerate(files, 1)
    }


QWEN_IMAGE_2512: dict[str, tuple[int | None, str]] = {
    ".gitattributes": (None, "11ad7efa24975ee4b0c3c3a38ed18737f0658a5f75a0a96787b576a78a023361"),
    "README.md": (None, "db371596007403d9588e0d78d9798ecafa59bf7772fbdc12952e581b1562920b"),
    "model_index.json": (443, "caf5f49ee3d897fff6a8e8d6353b084c8d1da3e40ba2f32e9bc554eb0ee4b4e9"),
    "scheduler/scheduler_config.json": (
        485,
        "7ee767e37bae4af31d4eb935e125bb20a2237eeecafd22af6610093865c6f587",
    ),
    "text_encoder/config.json": (
        None,
        "4a49f14a1594fd988ab301e491ac522cd9b0e8fd1c9232b806c54568f348c1fb",
    ),
    "text_encoder/generation_config.json": (
        244,
        "50867494bddf9ddc8e289e6214be5a2263e68f16c127a3652c6eb9f17990e5d9",
    ),
    "text_encoder/model.safetensors.index.json": (
        57_655,
        "4be35310ddc165e46e88de4c3fec8c1210014b0b8717f4544d82cc740814ae0c",
    ),
    "tokenizer/added_tokens.json": (
        605,
        "58b54bbe36fc752f79a24a271ef66a0a0830054b4dfad94bde757d851968060b",
    ),
    "tokenizer/chat_template.jinja": (
        2_427,
        "44d5f08f3f72b837eaad09f13a54c1f9f4eb58d75240334548b7fd52a5437fa5",
    ),
    "tokenizer/merges.txt": (
        1_671_853,
        "8831e4f1a044471340f7c0a83d7bd71306a5b867e95fd870f74d0c5308a904d5",
    ),
    "tokenizer/special_tokens_map.json": (
        613,
        "76862e765266b85aa9459767e33cbaf13970f327a0e88d1c65846c2ddd3a1ecd",
    ),
    "tokenizer/tokenizer_config.json": (
        4_686,
        "0a04a9d7d4a62b28482bdfe726c122756de85714fb64166ace92ae75b8f57614",
    ),
    "tokenizer/vocab.json": (
        3_383_407,
        "87a257b04b17642a0688c98cd1df89c398bda4fee532d6f88b38a659ecb4ac8d",
    ),
    "transformer/config.json": (
        339,
        "247c94f9b923a7d6b6035ca76d27b556bd0efd1a8c7672f31f037644fcce340e",
    ),
    "transformer/diffusion_pytorch_model.safetensors.index.json": (
        198_887,
        "adeb4aa7230a3940cdfb4f6d7be4131a13cd5275d612fb9f8be90ede8d965b29",
    ),
    "vae/config.json": (730, "c448160dba5ce79c965cb075ee02e18d1c42eb6424f787e5869790d577b56a65"),
    **_shards("text_encoder", "model", TEXT_ENCODER),
    **_shards("transformer", "diffusion_pytorch_model", TRANSFORMER_2512),
    **_shards("vae", "diffusion_pytorch_model", VAE),
}
# files for people and other programs; a folder is whole without them
OPTIONAL = {".gitattributes", "README.md"}
# the files in which releases of the same structure differ
TELLING = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "transformer/config.json",
    "vae/config.json",
)
# sha256 -> size in bytes and what it is, of every weight file whose sha256 is published
NAMES = {
    sha256: (size, f"{release} {path}")
    for release, part, stem, files in (
        ("every release's", "text_encoder", "model", TEXT_ENCODER),
        ("Qwen-Image-2512's", "transformer", "diffusion_pytorch_model", TRANSFORMER_2512),
        ("Qwen-Image-2512's", "vae", "diffusion_pytorch_model", VAE),
        ("Qwen-Image-Edit-2511's", "transformer", "diffusion_pytorch_model", TRANSFORMER_EDIT_2511),
    )
    for path, (size, sha256) in _shards(part, stem, files).items()
}
NAMES["caedc7cc2914ab113cfbb3684cf072350201182ae8de1a7308e419385987ae40"] = (
    4_984_232_856,
    "the first Qwen-Image's transformer/diffusion_pytorch_model-00008-of-00009.safetensors",
)
