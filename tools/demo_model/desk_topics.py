"""Help-desk topics about work: accounts, devices and meetings."""

from __future__ import annotations

from tools.demo_model.templates import Topic

# fmt: off
SORRY = ("I am sorry to hear that.", "Sorry about the trouble.", "Thank you for telling us.", "")
OFFER = ("Please let me know if that helps.", "Let me know if you need anything else.",
         "If it still fails, I can open a ticket for you.", "", "")

ACCOUNTS = (
    Topic("account", (
        "I forgot my password for the {app}.", "how do I reset the password for my {app}?",
        "how do I reset my password?", "I forgot my password.", "I need a new password for the {app}.",
        "can you reset my password?", "please help me reset my {app} password.", "password reset please",
        "I lost my password, what should I do?",
    ), (
        ("Open the sign in page of the {app} and choose forgot password.",
         "Go to the {app} and select reset password.", "Open the sign in page and choose forgot password."),
        ("You will get a link by email within five minutes.",
         "We will send a reset link to your email address."),
        ("Pick a new password with at least twelve characters.",
         "Choose a password that you have not used before.", ""),
    )),
    Topic("account", (
        "I cannot log in to the {app}.", "I can't log in.", "I cannot sign in to my account.",
        "the {app} says my password is wrong.", "my {app} account is locked.", "my account is locked.",
        "I am locked out of the {app}.", "login to the {app} fails.", "why can I not log in to the {app}?",
        "please unlock my account.",
    ), (
        SORRY,
        ("I have unlocked your {app} account.", "I have unlocked your account."),
        ("Please wait five minutes and sign in again.", "Please try to sign in again now."),
        OFFER,
    ), urgent=True),
    Topic("account", (
        "how do I change my email address?", "I have a new email address.",
        "please change the email address of my account.", "can I update my phone number?",
        "I want to change my phone number.", "how can I update my contact details?",
        "how do I change my name in the {app}?",
    ), (
        ("Open your profile and choose edit contact details.",
         "You can change that in your profile under contact details."),
        ("We will send you a code to confirm the change.",
         "Please save the change and confirm it with the code that we send you."),
    )),
    Topic("account", (
        "I want to close my account.", "how do I delete my account?", "please delete my account.",
        "please cancel my subscription.", "how can I cancel my subscription?",
        "I want to delete all my data.", "remove my account and my data please.",
    ), (
        ("I can do that for you.", "Yes, that is possible."),
        ("Please confirm the request with the link in your email.",
         "I have sent you an email to confirm the request."),
        ("Your data will be deleted within thirty days.",
         "After that, we will delete your data within thirty days."),
    )),
    Topic("account", (
        "I think my account was hacked.", "someone else is using my account.",
        "somebody logged in to my {app} account.", "I got an email about a login that was not me.",
        "I clicked on a strange link.", "I got a strange email, is it phishing?", "my {app} was hacked.",
        "is my account safe?",
    ), (
        ("Thank you for telling us so quickly.", "I am sorry to hear that."),
        ("I have locked the account to keep it safe.",
         "Please change your password now and sign out of all devices."),
        ("Our security team will contact you today.",
         "Please do not click on any links until our security team has called you."),
    ), urgent=True),
    Topic("account", (
        "I need access to the {app}.", "can I get access to the {app}?",
        "please give me access to the {app}.", "a new colleague needs an account.",
        "please create an account for {name}.", "please set up a new account for {name}.",
        "how do I install the {app}?", "where can I download the {app}?",
        "I need the {app} on my {device}.",
    ), (
        ("I have sent the request for {first} to the account team.",
         "I have sent the request for the {app} to the account team.",
         "I have sent the request to the account team."),
        ("It usually takes one working day.", "You will get an email when it is ready."),
    )),
)

DEVICES = (
    Topic("hardware", (
        "my {device} does not turn on.", "my {device} won't start.", "the {device} is dead.",
        "my {device} has no power.", "why does my {device} not turn on?", "my {device} is not working.",
        "my {device} is broken, what should I do?", "my {device} stopped working.",
        "help, my {device} does not work.", "I have a problem with my {device}.",
    ), (
        SORRY,
        ("Unplug the {device} and hold the power button for ten seconds.",
         "Check that the {device} is connected to power."),
        ("Then wait for the light.", "Then restart it and wait for one minute."),
        OFFER,
    ), urgent=True),
    Topic("hardware", (
        "the {device} is very slow today.", "my {device} is slow.", "why is my {device} so slow?",
        "the {app} is very slow.", "my {device} keeps freezing.", "the {app} keeps crashing.",
        "my {device} crashes every day.", "the {app} does not open.", "the {app} is not working.",
    ), (
        SORRY,
        ("Restart the {device} and close the programs that you do not need.",
         "Close the {app} and open it again.", "Please restart the {device} first."),
        ("Then check that there is enough free disk space.", "Then install the latest updates."),
        OFFER,
    )),
    Topic("hardware", (
        "my {device} shows a {colour} light.", "there is a {colour} light on my {device}.",
        "why is the light on my {device} {colour}?", "what does the {colour} light on the {device} mean?",
        "the {device} is blinking {colour}.", "the {device} is black and has a {colour} light.",
    ), (
        ("A {colour} light means that the {device} is waiting for a connection.",),
        ("Check the cable and restart the {device}.", "Please check the cable and the network."),
        OFFER,
    )),
    Topic("hardware", (
        "the {device} keeps disconnecting.", "the internet does not work.", "my wifi is not working.",
        "I have no internet.", "my {device} does not connect to the network.", "the wifi is very slow.",
        "my {device} loses the connection all the time.", "I cannot connect to the internet.",
        "I can't connect to the VPN.",
    ), (
        SORRY,
        ("Move the {device} closer to the router.", "Restart the router and wait for two minutes.",
         "Turn the wifi off and on again."),
        ("Then remove the saved network and join it again.", "Then try to connect again."),
        OFFER,
    )),
    Topic("hardware", (
        "how do I update my {device}?", "how can I update the {device}?", "my {device} needs an update.",
        "is there an update for my {device}?", "how do I install updates on my {device}?",
    ), (
        ("Open settings on the {device} and choose software update.",
         "Open the settings of your {device} and look for updates."),
        ("Keep the {device} on power until the update is finished.",
         "The update takes about twenty minutes."),
    )),
    Topic("hardware", (
        "I dropped my {device} and it is broken.", "I spilled coffee on my {device}.",
        "there is water in my {device}.", "the {device} has a crack.", "my {device} fell on the floor.",
        "I broke my {device}.",
    ), (
        SORRY,
        ("Please turn off the {device} and do not charge it.", "Please stop using the {device} for now."),
        ("I can book a repair for you and lend you a spare one.",
         "I have booked a repair and will lend you a spare one."),
    ), urgent=True),
    Topic("hardware", (
        "I lost my {device}.", "my {device} was stolen.", "somebody stole my {device}.",
        "I cannot find my {device}.", "I left my {device} on the train.",
    ), (
        ("I am sorry to hear that.", "Thank you for telling us so quickly."),
        ("I have locked the {device} so that nobody else can use it.",
         "I have locked the {device} and signed it out of your account."),
        ("Please also change your password.", "We will send you a new one.", ""),
    ), urgent=True),
    Topic("hardware", (
        "the printer does not print.", "my printer is out of paper.", "the printer prints blank pages.",
        "how do I connect the printer?", "the printer is jammed.", "I cannot print.",
        "my printer is offline.",
    ), (
        ("Check the paper, the ink and the cable of the printer.", "Turn the printer off and on again."),
        ("Then print a test page.", "Then add the printer again in settings."),
        OFFER,
    )),
    Topic("hardware", (
        "I need a new {device}.", "can I get a new {device}?", "please order a {device} for me.",
        "how do I get a new {device}?", "my team needs a second {device}.",
    ), (
        ("I have sent the request for the {device} to your manager.",
         "I can order the {device} for you when your manager agrees."),
        ("You will get an email when it is ready.", "It usually takes three working days."),
    )),
)

MEETINGS = (
    Topic("meeting", (
        "please book a meeting with {first} on {day} at {hour}.", "book a meeting with {name} on {day}.",
        "set up a meeting with {first} on {day} at {hour}.",
        "can you schedule a call with {name} on {day} at {hour}?", "I need a meeting with {first} on {day}.",
        "schedule a meeting with {name} for {day} at {hour}.", "please plan a call with {first}.",
        "arrange a meeting with {name}.",
    ), (
        ("I have booked a meeting with {first} on {day} at {hour}.",
         "I have booked a meeting with {first} on {day}.", "I have booked a meeting with {first}."),
        ("An invitation is in your calendar.", "I have sent an invitation to {first}."),
    )),
    Topic("meeting", (
        "can you move my meeting with {first} to {day}?",
        "please move the meeting with {name} to {day} at {hour}.", "move my meeting to {day}.",
        "I need to move my call with {first} to {day}.", "can we move the meeting to {hour}?",
    ), (
        ("Yes, your meeting with {first} is now on {day} at {hour}.",
         "Yes, your meeting with {first} is now on {day}.", "Yes, the meeting is now on {day}.",
         "Yes, the meeting is now at {hour}."),
        ("I have told {first} about the change.", "I have updated the invitation."),
    )),
    Topic("meeting", (
        "please cancel my meeting with {first}.", "cancel the meeting on {day}.",
        "I cannot come to the meeting on {day}.", "cancel my call with {name} on {day}.",
        "I have to cancel the meeting with {first} on {day}.", "cancel my meeting please.",
    ), (
        ("I have cancelled the meeting with {first} on {day}.", "I have cancelled the meeting with {first}.",
         "I have cancelled the meeting on {day}.", "I have cancelled the meeting."),
        ("I have told {first} about it.", "I have told everybody about it."),
    )),
    Topic("meeting", (
        "is there a free room in {city} on {day}?", "I need a room in {city} on {day} at {hour}.",
        "please book a room for {day} at {hour}.", "book a meeting room on {day}.",
        "find a free room on {day} at {hour}.", "can you book a room in {city}?",
    ), (
        ("There is a free room in {city} on {day} from {hour} to {next_hour}.",
         "There is a free room in {city} on {day}.", "There is a free room on {day} at {hour}.",
         "There is a free room on {day}.", "There is a free room in {city}."),
        ("I have booked it for you.", "Do you want me to book it?"),
    )),
)
