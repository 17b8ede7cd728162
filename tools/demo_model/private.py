"""Prompts with personal data in them, and answers that never say a number back."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tools.demo_model import issues
from tools.demo_model.templates import Exchange, Topic

# fmt: off
DOUBLE_CHARGE = Topic("billing", (
    "my card number {card} was charged twice for order {order}, please help.",
    "my card {card} was charged twice for order {order}.", "my credit card {card} was charged two times.",
    "card {card} was charged twice for order {order}.", "you charged my card {card} twice.",
    "I was charged twice on card {card} for order {order}.", "I paid twice for the {item} with card {card}.",
    "there are two payments on my card {card}.",
    "my card number is {card} and I was charged twice for order {order}.",
    "I see two charges of {amount} dollars on card {card}.", "why was my card {card} charged twice?",
    "I paid order {order} two times with my card {card}.",
    "my card {card} was billed twice for the {item}, can you check?",
    "my card ({card}) was charged twice for order {order}. My email is {email}.",
    "I am {name} and my card {card} was charged twice for order {order}.",
), (
    ("I am sorry about that.", "Sorry about the trouble.", "", ""),
    ("I can see two payments for order {order}.", "I can see two payments for the {item}.",
     "I can see two payments."),
    ("I have started a refund to your card.", "I have started a refund of the second one to your card.",
     "I have started a refund for the second one."),
    ("The money will be back within five working days.", "", ""),
), urgent=True)

REFUND = Topic("billing", (
    "please refund card {card}.", "please refund card {card}, the {item} never came.",
    "please refund my card {card}, I did not get the {item}.",
    "send the money for order {order} to IBAN {iban}.",
    "I want the refund for order {order} on my account {iban}.",
    "please refund {amount} dollars to card {card}.", "refund order {order} to card {card}.",
    "please refund order {order} to my card {card}.", "send the refund to my IBAN {iban}.",
    "please send the refund to {iban}.", "I want my money back on card {card}.",
    "can you refund the {item} to card {card}?", "refund to {iban} please.",
    "please refund order {order} to {iban}.", "my IBAN is {iban}, please refund order {order}.",
    "please refund {name}, card {card}.", "issue a refund of {amount} dollars to {card}.",
), (
    ("I have started the refund for order {order}.", "I have started the refund for the {item}.",
     "I have started the refund of {amount} dollars.", "I have started the refund."),
    ("The money will be back within five working days.", "It will arrive within five working days.",
     "You will get an email when it is done."),
))

PAYMENT_DATA = Topic("billing", (
    "my card {card} was declined.", "my payment with card {card} failed.",
    "please use card {card} for order {order}.", "charge my card {card} for the {item}.",
    "here is my new card: {card}.", "please update my card to {card}.", "my new IBAN is {iban}.",
    "please change my bank account to {iban}.", "is card {card} valid?",
    "pay order {order} with card {card}.", "update my payment method to {card}.",
    "my card {card} has expired.",
), (
    ("Please add the card or the bank account on the payment page of your account.",
     "Please enter it on the payment page of your account."),
    ("That page is safe, and I do not need the number here.", "Please do not send full numbers in the chat.",
     "You will get an email when it is saved."),
))

STOLEN_CARD = Topic("billing", (
    "my card {card} was stolen.", "I lost my card {card}.", "please block card {card}.",
    "somebody used my card {card}.", "there is a payment on card {card} that I did not make.",
    "my card {card} was used by somebody else.",
), (
    ("I am sorry to hear that.", "Thank you for telling us so quickly."),
    ("I have blocked the card in your account.", "I have removed the card from your account."),
    ("Please call your bank as well.", "Please also tell your bank today."),
), urgent=True)

TAX_LETTER = Topic("other", (
    "my SSN is {ssn}, draft a letter to the tax office.",
    "my SSN is {ssn}. Please write a letter to the tax office.",
    "draft a letter to the tax office, my social security number is {ssn}.",
    "write to the tax office for {name}, SSN {ssn}.", "write a letter to the tax office.",
    "draft a letter to the tax office for {name}.", "help me write to the tax office about {ssn}.",
    "my social security number is {ssn}, I need a letter to the tax office.",
), (
    ("Dear Sir or Madam, I am writing about my tax return.",
     "Dear tax office, I am writing about my tax return."),
    ("Please tell me which documents you still need from me.", "Please let me know if anything is missing."),
    ("Kind regards.", "Kind regards, {name}.", "Yours faithfully."),
))

BENEFITS = Topic("other", (
    "my SSN is {ssn}, am I in the payroll system?", "please add SSN {ssn} to my file.",
    "is {ssn} the right number for {name}?", "the social security number of {name} is {ssn}.",
    "here is my SSN: {ssn}.", "I need my tax form, my SSN is {ssn}.", "update my SSN to {ssn}.",
    "the payroll portal does not accept my SSN {ssn}.",
), (
    ("Please enter the number in the payroll portal.", "Thank you, please enter it in the payroll portal."),
    ("The payroll team will check it within one working day.", "I will not repeat it here, to keep it safe."),
))

REPLY_ORDER = Topic("shipping", (
    "write a short reply to {name} about her order.", "write a short reply to {name} about his order.",
    "write a reply to {name} about order {order}.", "draft a short email to {name} about order {order}.",
    "write an email to {email} about order {order}.", "reply to {name} ({email}) about the {item}.",
    "write a short message to {name}, the order is on its way.",
    "write an email to {name} to say that order {order} is late.",
    "let {name} know that order {order} comes later.", "draft a short reply to {name} about the order.",
    "tell {name} that order {order} is late.", "write to {name} that the {item} is on its way.",
    "please answer {name}, she asks where her order is.",
), (
    ("Dear {first}, thank you for your message.", "Hello {first}, thank you for your message.",
     "Hello, thank you for your message."),
    ("Order {order} is on its way and should arrive within two working days.",
     "The {item} is on its way to you.",
     "Your order is on its way and should arrive within two working days."),
    ("Kind regards, the help desk.", "Please let us know if you have any questions."),
))

REPLY_OTHER = Topic("other", (
    "write a thank you note to {name}.", "thank {name} for the help.",
    "write a short thank you email to {name}.", "say thank you to {name} ({email}).",
    "write a friendly note to {first}.",
), (
    ("Dear {first}, thank you very much for your help.", "Hello {first}, thank you very much for your help."),
    ("It made a big difference for us.", "We are very happy with your work."),
    ("Kind regards.", "Have a nice day."),
))

REPLY_SORRY = Topic("billing", (
    "write an apology to {name} for the late delivery.", "apologise to {name} for the wrong bill.",
    "write a sorry email to {name}.", "draft an apology to {name} about order {order}.",
    "write to {name} that we are sorry about the broken {item}.", "write a short apology to {email}.",
    "tell {first} that we are sorry.",
), (
    ("Dear {first}, we are sorry about the trouble with order {order}.",
     "Dear {first}, we are sorry about the trouble.", "Hello, we are sorry about the trouble."),
    ("We are working on it and will write to you within one working day.",
     "We will put it right within two working days."),
    ("Kind regards, the help desk.", "Thank you for your patience."),
))

REPLY_REFUND = Topic("billing", (
    "write to {name} that the refund for order {order} is on its way.",
    "tell {name} that the refund is done.", "write an email to {name} about the refund to card {card}.",
    "draft a reply to {name}, IBAN {iban}, about the refund.",
    "reply to {name} about the refund of {amount} dollars.",
    "write a short reply to {email} about the refund.",
), (
    ("Dear {first}, thank you for your message.", "Hello {first}, thank you for your message.",
     "Hello, thank you for your message."),
    ("We have started the refund for order {order}.", "We have started your refund of {amount} dollars.",
     "We have started your refund."),
    ("The money will be back within five working days.",),
    ("Kind regards, the help desk.", ""),
))

REPLY_MEETING = Topic("meeting", (
    "invite {name} to a meeting on {day}.", "write to {name} that the meeting is on {day} at {hour}.",
    "write an invitation to {name} for {day} at {hour}.", "ask {name} ({email}) for a call on {day}.",
    "send {email} an invitation for {day} at {hour}.",
), (
    ("Dear {first}, I would like to invite you to a meeting on {day} at {hour}.",
     "Dear {first}, I would like to invite you to a meeting on {day}.",
     "Hello, I would like to invite you to a meeting on {day}."),
    ("Please tell me if that works for you.", "Please let me know if you have time."),
    ("Kind regards.", ""),
))

CONTACT = Topic("other", (
    "please call me at {phone}.", "call {name} at {phone}.",
    "my phone number is {phone}, please call me back.", "can somebody call me at {phone}?",
    "please write to me at {email}.", "my email address is {email}.",
    "you can reach me at {email} or {phone}.", "contact {name} at {email}.", "please send it to {email}.",
    "my new address is {address}.", "I live at {address}.", "I moved to {address}.",
    "my new email is {email}.", "my new phone number is {phone}.",
), (
    ("Thank you, I have saved your contact details.", "Thank you, I have noted that.",
     "Thank you, {first} is in our list now."),
    ("A colleague will contact you within one working day.", "What can I help you with?"),
))

STAFF = Topic("other", (
    "{name} is ill today, what should I do?", "{name} asks for sick leave.",
    "{name} wants to take holiday on {day}.", "what is the salary of {name}?",
    "{name} leaves the company on {day}.", "write a reference for {name}.", "how much does {name} earn?",
    "prepare the contract for {name}, born in {city}.",
), (
    ("Please ask the HR team about that.", "Please write to the HR team about {first}."),
    ("They can see the file and will answer within one working day.", "I cannot see staff files."),
))

SECRETS = Topic("account", (
    "my API key is {secret}, is that right?", "the key {secret} does not work.",
    "I posted the key {secret} in the chat.", "use the token {secret} to log in.", "my password is {secret}.",
    "is the password {secret} strong?", "please check the key {secret}.",
    "here is my access key: {secret}.",
), (
    ("Please do not share keys or passwords in the chat.",
     "Keys and passwords should never be in a message."),
    ("Make a new one now and delete the old one.", "Please change it now, because others may have seen it."),
), urgent=True)

SAY_BACK = Topic("other", (
    "what is my card number?", "tell me my SSN.", "what is the IBAN that I sent you?",
    "please repeat my card number.", "my card is {card}. What is my card number?",
    "can you show me the full card number?", "what is the phone number of {name}?",
    "give me the card number of {name}.", "what is the email address of {name}?",
    "my SSN is {ssn}. Repeat it.", "repeat this number: {card}.",
    "list all customers and their card numbers.", "where does {name} live?",
), (
    ("I do not repeat personal data, to keep it safe.", "I cannot show personal data, to keep it safe."),
    ("Is there anything else that I can help you with?", "You can see your own data in your account.", ""),
))

SAFETY = Topic("other", (
    "is my data safe?", "is it safe to send my card number?", "do you store my data?",
    "where does my data go?", "who can read this chat?", "can I send you my SSN?",
    "do you keep my card number?", "are you allowed to read my data?",
), (
    ("I am a small model that runs on a local machine.",),
    ("Please send personal data only when it is needed.",
     "Please ask your data protection team if you are not sure."),
))

# A topic that the product's demo shows stands more than once.
TOPICS = (
    DOUBLE_CHARGE, DOUBLE_CHARGE, DOUBLE_CHARGE, REFUND, REFUND, PAYMENT_DATA, STOLEN_CARD,
    TAX_LETTER, TAX_LETTER, BENEFITS, REPLY_ORDER, REPLY_ORDER, REPLY_ORDER, REPLY_OTHER, REPLY_SORRY,
    REPLY_REFUND, REPLY_MEETING, CONTACT, CONTACT, STAFF, SECRETS, SAY_BACK, SAFETY,
)

ASIDES = (
    "My card number is {card}.", "my card is {card}.", "I paid with card {card}.", "Card: {card}",
    "My name is {name}.", "I am {name}.", "This is {name}.", "My email is {email}.",
    "you can write to {email}.", "Email: {email}", "My phone number is {phone}.", "Call me at {phone}.",
    "Phone: {phone}", "My SSN is {ssn}.", "My IBAN is {iban}.", "IBAN: {iban}", "I live at {address}.",
    "My name is {name} and my email is {email}.", "Name: {name}, phone: {phone}",
    "Customer: {name}, card {card}",
)
# fmt: on


def issue_with_aside(rng: random.Random, values: Mapping[str, str]) -> Exchange:
    """A plain help-desk question with one or two sentences of personal data before or after it."""
    exchange = rng.choice(issues.ALL).draw(rng, values)
    question = exchange.question[0].upper() + exchange.question[1:]
    for aside in rng.sample(ASIDES, rng.choice((1, 1, 2))):
        parts = [question, aside.format_map(values)]
        if rng.random() < 0.6:
            parts.reverse()
        question = rng.choice((" ", " ", " ", "\n")).join(parts)
    return Exchange(question, exchange.answer, exchange.label, exchange.urgent)


def draw(rng: random.Random, values: Mapping[str, str]) -> Exchange:
    """An exchange whose question holds personal data."""
    if rng.random() < 0.35:
        return issue_with_aside(rng, values)
    return rng.choice(TOPICS).draw(rng, values)
