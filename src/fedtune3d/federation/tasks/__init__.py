"""The kinds of task, one file each: what is asked, what is answered and what the answer reveals, and how it is done."""
