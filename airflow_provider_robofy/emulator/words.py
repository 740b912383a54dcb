"""Names and sentences for seeded people, places and conversations."""

from __future__ import annotations

# Each name with the spelling that its mail address uses.
FIRST_NAMES = (
    ("John", "john"), ("Amara", "amara"), ("Zoë", "zoe"), ("Łukasz", "lukasz"), ("Priya", "priya"),
    ("Mateo", "mateo"), ("Ingrid", "ingrid"), ("Yuki", "yuki"), ("Fatima", "fatima"), ("Noah", "noah"),
    ("Chloé", "chloe"), ("Sergey", "sergey"), ("Aoife", "aoife"), ("Kwame", "kwame"), ("Jürgen", "juergen"),
    ("Mei", "mei"), ("Søren", "soren"), ("Leila", "leila"), ("Diego", "diego"), ("Hannah", "hannah"),
    ("太郎", "taro"), ("Ирина", "irina"), ("Tomáš", "tomas"), ("Nia", "nia"), ("O'Brien", "obrien"),
    ("Ravi", "ravi"), ("Elif", "elif"), ("Grace", "grace"), ("Omar", "omar"), ("Signe", "signe"),
)  # fmt: skip
LAST_NAMES = (
    ("Doe", "doe"), ("Okafor", "okafor"), ("Müller", "mueller"), ("Kowalski", "kowalski"), ("Sharma", "sharma"),
    ("García", "garcia"), ("Lindqvist", "lindqvist"), ("Tanaka", "tanaka"), ("Haddad", "haddad"),
    ("Smith", "smith"), ("Dubois", "dubois"), ("Volkov", "volkov"), ("Ní Bhriain", "nibhriain"),
    ("Mensah", "mensah"), ("Weiß", "weiss"), ("Chen", "chen"), ("Ångström", "angstrom"), ("Rossi", "rossi"),
    ("Silva", "silva"), ("Novák", "novak"), ("山田", "yamada"), ("Petrova", "petrova"), ("Nguyễn", "nguyen"),
    ("Jones", "jones"), ("de la Cruz", "delacruz"), ("Patel", "patel"), ("Şahin", "sahin"), ("Kim", "kim"),
)  # fmt: skip
MAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "bürobedarf.example")
COMPANIES = ("Northwind Bakery", "Café Lumière", "Blue Harbor Dental", "Kite & Co", "Fjord Solar", "Studio 太陽")
INTERESTS = ("pricing", "a demo", "support", "integration", "delivery", "a refund", "opening hours")
QUESTIONS = (
    "Do you ship to Norway?",
    "What does the team plan cost per month?",
    "Please call me back tomorrow morning.",
    "Can I book a demo for 12 people?",
    "My order #4711 has not arrived, what now? 😟",
    'Does it work with our "old" CRM?',
    "Haben Sie am Samstag geöffnet?",
    "I would like an offer for 3 sites.\nTwo are in Spain.",
    "Is there a discount for schools?",
    "How do I reset my password?",
)
ANSWERS = (
    "Yes, we ship there; it takes four to six working days.",
    "The team plan is billed per seat. Shall I send you the list?",
    "Of course. Which time suits you best?",
    "I am sorry to hear that. I have passed it on to a colleague.",
    "You find it under Settings, then Integrations.",
    "Ja, von 9 bis 14 Uhr. 🙂",
    "Thank you! May I have your mail address?",
)
PAGES = ("contact", "pricing", "", "blog/what-is-new", "produkte/öfen", "help?topic=billing&from=chat")
SOURCES = ("chatbot", "chatbot", "chatbot", "chatbot", "whatsapp", "landing_page")
AGENT_NAMES = ("Website helper", "Sales desk", "Support DE", "Booking", "Returns", "Onboarding", "FAQ", "Night shift")
LANGUAGES = ("en", "en", "de", "es", "fr", "ja")
