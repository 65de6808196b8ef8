import pickle


class Letter(object):
    def __init__(self, sender, number, stamps=None):
        self.sender = sender
        self.number = number
        self.stamps = stamps or []

    def pack(self):
        return pickle.dumps((self.sender, self.number, self.stamps), 2)


class Seen(object):
    _of = None

    def __init__(self):
        self._last = None

    def before(self, letter, is_keyed):
        if is_keyed:
            assert self._of in (None, letter.sender), "a letter of %s came to %s" % (letter.sender, self._of)
            self._of = letter.sender
        last, self._last = self._last, letter.number
        return last


def stamp(name):
    def stamped(letter, last=None):
        letter.stamps.append((name, last))
        return letter
    stamped.__name__ = "stamp_%s" % name
    return stamped
