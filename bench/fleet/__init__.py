"""What a fleet would do: the scheduler in virtual time, the store measured, and the arithmetic between them."""
