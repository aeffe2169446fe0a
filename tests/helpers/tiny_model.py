"""A whole model so small that it is forged and run in a moment; shared by tests."""

from qwenimage_ref.checkpoint.config_files import Configs
from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig

TINY = Configs(
    transformer=MMDiTConfig(
        num_layers=8,
        num_attention_heads=2,
        attention_head_dim=24,
        joint_attention_dim=48,
        axes_dims_rope=(4, 8, 12),
    ),
    text_encoder=TextEncoderConfig(
        num_hidden_layers=3,
        hidden_size=48,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=60,
        vocab_size=704,  # of the pocket's tokenizer
        mrope_section=(4, 4, 4),
    ),
    vision=VisionConfig(
        depth=1,
        hidden_size=32,
        num_heads=2,
        intermediate_size=40,
        out_hidden_size=48,
        fullatt_block_indexes=(0,),
    ),
    vae=VAEConfig(base_dim=4),
)
