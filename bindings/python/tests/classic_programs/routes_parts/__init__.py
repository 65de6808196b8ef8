from .letters import Letter, Seen, stamp


def sender(letter):
    return letter.sender
