"""What is made from the course: built notebooks, editions for a class, the capstone."""

from ...extras import demand_extra_for_command

for extra in ("notebooks", "dev"):
    demand_extra_for_command(extra)
