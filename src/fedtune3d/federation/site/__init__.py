"""What a site does when it receives a task."""
