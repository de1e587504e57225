"""A room on the screen: the student's side, the teacher's, the projector's, and the line on every other page."""
