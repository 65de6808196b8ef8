"""Alerts about totals of users: a generator as source, which remembers whose turn it is."""

import wallaroo


def application_setup(args):
    out_host, out_port = wallaroo.tcp_parse_output_addrs(args)[0]

    transactions = wallaroo.source("Alerts", wallaroo.GenSourceConfig("Alerts", TransactionsGenerator()))
    pipeline = (
        transactions.key_by(extract_user)
        .to(check_transaction_total)
        .to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encode_alert))
    )
    return wallaroo.build_application("Alerts (stateful)", pipeline)


class Transaction(object):
    def __init__(self, user, amount):
        self.user = user
        self.amount = amount


class TransactionTotal(object):
    def __init__(self):
        self.total = 0


class TransactionsGenerator(object):
    users = ["Fido", "Rex", "Feathers"]
    turn = 0

    def initial_value(self):
        return Transaction("Fido", 900)

    def apply(self, value):
        self.turn += 1
        if self.turn == 10:
            return None
        return Transaction(self.users[self.turn % len(self.users)], value.amount + 100)


@wallaroo.key_extractor
def extract_user(transaction):
    return transaction.user


@wallaroo.state_computation(name="check transaction total", state=TransactionTotal)
def check_transaction_total(transaction, state):
    state.total += transaction.amount
    if state.total > 2000:
        return (transaction.user, state.total)


@wallaroo.encoder
def encode_alert(alert):
    return ("Deposit Alert for %s: %d\n" % alert).encode()
