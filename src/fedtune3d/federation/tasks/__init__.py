"""The kinds of task, one file each: the instruction, the answer with what it reveals, and the handler at the site."""
