"""The figures of the chapters, one file for each subject."""

from ...extras import demand_extra_for_command

demand_extra_for_command("notebooks")
