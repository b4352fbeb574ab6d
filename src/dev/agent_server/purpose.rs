//! What the agents are there for, and what they have to say about it.

/// One kind of agent.
pub(super) struct Purpose {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) system: &'static str,
    pub(super) persona: &'static str,
    /// Sentences to reply with.
    pub(super) sentences: [&'static str; 6],
}

/// The agents that are there from the start.
pub(super) static FROM_THE_START: [Purpose; 3] = [
    Purpose {
        name: "Support assistant",
        description: "Answers questions about orders and accounts",
        system: "You help people who write to the support of a shop.",
        persona: "I answer questions about orders and accounts, in short and friendly sentences.",
        sentences: [
            "Please tell me the number of the order, and I will look it up.",
            "Signing out and in again often helps with that.",
            "Does it happen each time, or only now and then?",
            "A parcel takes three working days on average.",
            "I can send a new link for the password if you like.",
            "That is covered by the guarantee of two years.",
        ],
    },
    Purpose {
        name: "Travel planner",
        description: "Plans journeys by train",
        system: "You plan journeys by train and ask for what you need to know.",
        persona: "I plan journeys by train and ask about dates before I suggest anything.",
        sentences: [
            "On which day would you like to leave?",
            "The morning train needs one change and saves two hours.",
            "A seat by the window costs nothing more.",
            "In autumn the route along the lake is the finest.",
            "I would stay two nights, so that there is time for the old town.",
            "Shall I look for a hotel near the station?",
        ],
    },
    Purpose {
        name: "Code reviewer",
        description: "Reads changes and says what could go wrong",
        system: "You review changes to code and name what could go wrong.",
        persona: "I review changes to code, name the risk first and then a simpler way.",
        sentences: [
            "I would write a test for the empty list first.",
            "The name could say in which unit the number is.",
            "An early return would save a level of nesting here.",
            "What happens when two requests arrive at once?",
            "This error is swallowed, so nobody will ever see it.",
            "The loop can go, since the library has a function for it.",
        ],
    },
];

/// Any other agent.
pub(super) static ANY: Purpose = Purpose {
    name: "Assistant",
    description: "Came into being when it was first asked for",
    system: "You are an assistant that answers in a few sentences.",
    persona: "I answer in a few plain sentences.",
    sentences: [
        "Tell me a little more, and I can be of more help.",
        "There are two ways to go about it, and the shorter one is better.",
        "I would try it on a small example first.",
        "That depends on what should happen afterwards.",
        "It is worth writing down before it is forgotten.",
        "Shall I go on with it?",
    ],
};
