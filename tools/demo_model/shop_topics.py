"""Help-desk topics about a shop: orders and bills."""

from __future__ import annotations

from tools.demo_model.desk_topics import SORRY
from tools.demo_model.templates import Topic

# fmt: off
ORDERS = (
    Topic("shipping", (
        "where is my order {order}?", "where is order {order}?", "when will order {order} arrive?",
        "what is the status of order {order}?", "where is my order?", "can you track order {order}?",
        "order {order} has not arrived yet.", "my {item} has not arrived yet.", "when will my {item} arrive?",
        "I am still waiting for my {item}.", "track my package please.", "my package is late.",
        "I ordered the {item} last week, where is it?", "the parcel for order {order} is late.",
        "order {order} is not here yet, when does it come?",
    ), (
        ("Order {order} has left our warehouse.", "Order {order} is on its way to you.",
         "The {item} is on its way to you.", "The {item} has left our warehouse.",
         "Your package is on its way."),
        ("It should arrive within two working days.", "You should receive it within two working days.",
         "I have sent the tracking link to your email address."),
    )),
    Topic("shipping", (
        "can I change the address for order {order}?", "please change the delivery address of order {order}.",
        "I moved, please send order {order} to my new address.", "I want to change the address of my order.",
        "can you send the {item} to another address?", "I moved to {city}.",
        "can order {order} go to {city}?", "please send order {order} to {city} and not to {address}.",
        "I gave the wrong address for order {order}.",
    ), (
        ("You can change the address of order {order} until it is shipped.",
         "You can change the address until the {item} is shipped.",
         "You can change the address until the order is shipped."),
        ("Please open the order page and choose change address.",
         "Please enter the new street and city on the order page."),
    )),
    Topic("shipping", (
        "I want to cancel order {order}.", "please cancel order {order}.", "can I cancel my order?",
        "cancel my order please.", "I no longer need the {item}.", "please cancel the order for the {item}.",
        "how do I cancel order {order}?", "please cancel order {order}, I changed my mind.",
        "I do not need order {order} any longer.",
    ), (
        ("I have cancelled order {order}.", "I have cancelled the order for the {item}.",
         "I have cancelled the order for you."),
        ("You will get the money back within five working days.",
         "The money will be back on your account within five working days."),
    )),
    Topic("shipping", (
        "the {item} arrived damaged.", "the {item} is broken.", "my {item} came with a scratch.",
        "I got a damaged {item}.", "order {order} arrived broken.", "a part of the {item} is missing.",
        "something is missing from order {order}.",
    ), (
        ("I am sorry to hear that.", "I am sorry about that."),
        ("We will send a new {item} for free.", "We will replace order {order} for free.",
         "We will send a new one for free."),
        ("Please keep the box until a driver collects it.", "You do not have to do anything else.", ""),
    ), urgent=True),
    Topic("shipping", (
        "I got the wrong {item}.", "you sent me the wrong {item}.", "order {order} has the wrong {item}.",
        "I received the wrong product.", "this is not the {item} that I ordered.",
        "order {order} is not what I ordered.",
    ), (
        ("I am sorry about the mix-up.", "Sorry about that mistake."),
        ("We will send the right {item} today.", "We will send the right one for order {order} today.",
         "We will send the right one today."),
        ("You can return the wrong one for free.", "A driver will collect the wrong one."),
    )),
    Topic("shipping", (
        "how do I return the {item}?", "I want to return the {item}.", "can I return order {order}?",
        "I want to send back the {item}.", "the {item} is too small.", "the {item} does not fit.",
        "I do not like the {item}, can I send it back?", "how does a return work?",
        "what is your return policy?",
    ), (
        ("You can return the {item} within thirty days.", "You can return order {order} within thirty days.",
         "You can return a product within thirty days."),
        ("I have sent a return label to your email address.",
         "Please print the return label from the order page."),
    )),
    Topic("shipping", (
        "how long does delivery take?", "how long does shipping take?", "do you ship to {city}?",
        "do you deliver to {city}?", "how much is shipping?", "is shipping free?",
        "what does delivery to {city} cost?",
    ), (
        ("Yes, we deliver to {city}.", "Delivery to {city} takes three working days.",
         "Delivery takes three working days."),
        ("Shipping is free for orders above fifty dollars.",),
    )),
    Topic("shipping", (
        "I want to order the {item}.", "I would like to buy the {item}.", "can I order the {item} here?",
        "do you have the {item} in stock?", "is the {item} available?", "please order the {item} for me.",
        "is the {item} also available in {colour}?",
    ), (
        ("Yes, the {item} is in stock.",),
        ("You can add it to your cart and pay in the online shop.", "It ships within one working day."),
    )),
)

BILLS = (
    Topic("billing", (
        "I was charged twice for order {order}.", "I was charged twice.", "I paid twice for the {item}.",
        "I paid order {order} twice.", "why was I charged twice?",
        "you charged me two times for order {order}.", "there are two payments for order {order}.",
        "my card was charged twice for order {order}.", "I see two charges on my card.",
        "order {order} was billed twice.", "my card was charged twice.",
        "you took the money for order {order} twice.",
    ), (
        ("I am sorry about that.", "Sorry about the trouble.", "", ""),
        ("I can see two payments for order {order}.", "I can see two payments for the {item}.",
         "I can see two payments."),
        ("I have started a refund of the second one to your card.",
         "I have started a refund for the second one.",
         "The second payment will be refunded to your card."),
        ("The money will be back within five working days.", "", ""),
    ), urgent=True),
    Topic("billing", (
        "how can I get a refund for the {item}?", "I want a refund for order {order}.",
        "please refund order {order}.", "I want my money back.", "can I get a refund?",
        "please refund my {item}.", "refund order {order} please.", "I would like a refund.",
        "give me a refund for the {item}.", "please refund {amount} dollars for order {order}.",
        "how do refunds work?",
    ), (
        ("I have started the refund for order {order}.", "I have started the refund for the {item}.",
         "I have started the refund for you."),
        ("The money will be back on your card within five working days.",
         "It will be on your card within five working days."),
    )),
    Topic("billing", (
        "where is my refund?", "I have not received my refund.", "when do I get my refund?",
        "my refund for order {order} has not arrived.", "I am still waiting for my refund for the {item}.",
        "how long does a refund take?",
    ), (
        ("The refund for order {order} is on its way.", "The refund for the {item} is on its way.",
         "Your refund is on its way."),
        ("A refund takes up to five working days.", "Please check your account again in five working days."),
    )),
    Topic("billing", (
        "please send me the invoice for order {order}.", "I need an invoice for the {item}.",
        "can I get a receipt?", "I need a receipt for order {order}.", "where can I find my invoice?",
        "please send me my last bill.", "send me the bill for order {order}.", "I lost my invoice.",
        "I need the invoice of order {order} for my taxes.",
        "could you send me the invoice of order {order}?",
    ), (
        ("I have sent the invoice for order {order} to your email address.",
         "I have sent the invoice for the {item} to your email address.",
         "I have sent the invoice to your email address."),
        ("You can also download it from the order page.", "Please check your inbox.", ""),
    )),
    Topic("billing", (
        "my bill is too high.", "why is my bill so high?", "the invoice for order {order} is wrong.",
        "my bill is wrong.", "I do not understand my bill.", "there is a mistake on my invoice.",
        "why did you charge me {amount} dollars?",
        "there is a charge of {amount} dollars that I do not know.",
        "what is this charge of {amount} dollars?", "you took {amount} dollars from my account, why?",
        "why did I pay {amount} dollars?",
    ), (
        ("Thank you for telling us.", "I am sorry about that.", ""),
        ("I will check the charge of {amount} dollars.", "I will check the invoice for order {order}.",
         "I will check the bill for you."),
        ("Our billing team will send you an answer within one working day.",
         "If it is wrong, we will refund the difference."),
    )),
    Topic("billing", (
        "my payment failed.", "my card was declined.", "I cannot pay for order {order}.",
        "the payment for order {order} failed.", "why was my card declined?",
        "the online shop does not take my card.", "payment does not work.", "I can't pay with my card.",
    ), (
        SORRY,
        ("Please check the date on your card and try again.",
         "Please try the payment again or use another card."),
        ("Order {order} stays open for two days.", "Nothing was charged to your card.", ""),
    ), urgent=True),
    Topic("billing", (
        "how can I pay?", "which cards do you accept?", "can I pay by invoice?",
        "can I pay by bank transfer?", "can I pay in two parts?", "do you take credit cards?",
        "which payment methods are there?",
    ), (
        ("You can pay by card, by bank transfer or by invoice.",),
        ("You can choose the payment method in your account.",
         "Please open your account and choose payment methods."),
    )),
    Topic("billing", (
        "how do I change my payment method?", "I have a new credit card.", "how do I update my card?",
        "I want to pay with another card.",
    ), (
        ("Please open your account and choose payment methods.",),
        ("There you can add a new card and remove the old one.", "There you can change the card."),
    )),
    Topic("billing", (
        "does the {item} cost {amount} dollars?", "is the price of the {item} {amount} dollars?",
        "how much is the {item}?", "what does the {item} cost?", "is there a discount on the {item}?",
    ), (
        ("You can see the price of the {item} in the online shop.",),
        ("Shipping is free for orders above fifty dollars.", "The price is with tax.", ""),
    )),
)
