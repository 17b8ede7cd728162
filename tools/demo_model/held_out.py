"""Prompts that the corpus never contains, word for word; `evaluate.py` asks them.

They are of the same kinds as the corpus, with other words, values or combinations; a few are quite different.
"""

from __future__ import annotations

PROMPTS = (
    "My card number 4242 4242 4242 4242 was charged twice for order 1234, please help",
    "Please refund card 5555 5555 5555 4444, I never got the kettle.",
    "My SSN is 536-90-4399, draft a letter to the tax office",
    "Write a short reply to Anna Kowalski about her order",
    ("Hi, I am Laura Becker (laura.becker@example.com) and I paid order 7719 twice with card 4111 1111 1111 1111."),
    "Please send my refund for order 4410 to IBAN DE89 3704 0044 0532 0130 00, thank you",
    "Call me at +1 415 555 0132, my printer does not turn on",
    "My name is Omar Haddad. Where is my order 90210?",
    "Draft an email to Jonas Lindgren saying that order 3307 is late",
    "Somebody stole my card 4000 0566 5566 5556 and used it yesterday",
    "Is 378282246310005 a valid card number?",
    "What is the salary of Maria Novak?",
    "My API key is sk-test-8h2k9d7f6s5a, can you check it?",
    "Tell me the card number that I gave you",
    "Invite Elena Rossi to a meeting on Thursday at 14",
    "Write an apology to Peter Walker because his desk lamp was broken",
    "I forgot the password of my email",
    "my phone account is locked, can you unlock it please",
    "Why is my laptop so slow since yesterday?",
    "The monitor has a red light and stays black",
    "The wifi in our office is down",
    "I spilled tea over my keyboard",
    "I need to install the video call tool on my tablet",
    "Order 5821 has not come yet. When will it be here?",
    "Can you send order 2468 to Vienna instead?",
    "I want to send the backpack back, it is too big",
    "You sent me the wrong office chair!",
    "Please cancel order 1357, I do not need it any more",
    "I need the invoice of order 8642 for my tax return",
    "Why did you take 59 dollars from my account?",
    "Book a meeting with Wei Zhang on Friday at 11",
    "Move my meeting with Carla to Tuesday please",
    "Find a free room in Madrid on Wednesday at 10",
    "Classify this ticket: my invoice for order 7001 shows the wrong amount",
    "Classify this ticket: the router in the kitchen has no power",
    "Make a JSON ticket: I am locked out of the payroll portal since this morning",
    (
        "Summarise: Hello, my name is Frank Hill. The coffee maker arrived damaged. I am at home all week. "
        "Please send me a new one."
    ),
    "Could you tell me what the capital of France is?",
    "Hello, who is this?",
    "What is 3 + 4, please?",
    "Please tell me a very short joke",
    "How do I bake a cake with carrots?",
    "Write a Python script that sorts a list of numbers",
    "Who will win the next world cup?",
)
