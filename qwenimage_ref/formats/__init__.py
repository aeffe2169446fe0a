"""Everybody else's files: fp8, GGUF and single files, one class of `Weights` each."""

ZERO_COND_T = "__index_timestep_zero__"  # a tensor of this name marks Edit-2511 (zero_cond_t)
