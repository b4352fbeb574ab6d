//! What the agent says: sensible sentences that refer to what was said to it, another each turn.

use super::purpose::Purpose;
use super::seed::Seed;

/// What a reply is made from.
pub(super) struct Turn<'a> {
    pub(super) seed: Seed,
    pub(super) agent: &'a str,
    pub(super) purpose: &'a Purpose,
    /// How often this agent was asked before.
    pub(super) number: u64,
    /// What the user said.
    pub(super) text: &'a str,
    /// How many words are wanted.
    pub(super) words: Option<usize>,
}

const OPENINGS: [&str; 5] =
    ["You wrote “{}”.", "Thank you for “{}”.", "“{}”, I see.", "Let me take “{}” first.", "So it is “{}”."];
const OPENINGS_WITHOUT_TEXT: [&str; 5] =
    ["You wrote nothing.", "Thank you.", "I see no words.", "Let me begin.", "Here I am."];
const THOUGHTS: [&str; 3] = ["They say “{}”.", "This is about “{}”.", "What to do with “{}”?"];

impl Turn<'_> {
    /// What the agent thinks beforehand.
    pub(super) fn reasoning(&self) -> String {
        let quote = quote(self.text, 4);
        if quote.is_empty() {
            "They said nothing.".to_owned()
        } else {
            self.pick(&THOUGHTS).replace("{}", &quote)
        }
    }

    /// The reply: an opening that quotes, then sentences; of exactly as many words as are wanted.
    pub(super) fn text(&self) -> String {
        let quote = quote(self.text, 12);
        let openings = if quote.is_empty() { &OPENINGS_WITHOUT_TEXT } else { &OPENINGS };
        let opening = self.pick(openings).replace("{}", &quote);
        let sentences = &self.purpose.sentences;
        let first = self.place(sentences.len());
        let Some(wanted) = self.words else { return format!("{opening} {}", sentences[first]) };
        let more = sentences.iter().cycle().skip(first).flat_map(|sentence| sentence.split(' '));
        let words: Vec<_> = opening.split(' ').chain(more).take(wanted).collect();
        let mut text = words.join(" ");
        if !text.ends_with(['.', '?']) {
            text = text.trim_end_matches([',', '.']).to_owned() + ".";
        }
        text
    }

    fn pick<'t, const N: usize>(&self, texts: &[&'t str; N]) -> &'t str {
        texts[self.place(N)]
    }

    /// A place in a list, the next each turn.
    fn place(&self, len: usize) -> usize {
        let turn = usize::try_from(self.number).unwrap_or(0);
        self.seed.number("reply", self.agent).wrapping_add(turn) % len
    }
}

/// The first words of a text.
fn quote(text: &str, most: usize) -> String {
    let mut words = text.split_whitespace();
    let mut quote = String::new();
    for word in words.by_ref().take(most) {
        if !quote.is_empty() {
            quote.push(' ');
        }
        quote.extend(word.chars().take(40));
    }
    if words.next().is_some() {
        quote.push('…');
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::super::purpose::FROM_THE_START;
    use super::*;

    fn turn(number: u64, text: &str, words: Option<usize>) -> Turn<'_> {
        Turn { seed: Seed(7), agent: "agent", purpose: &FROM_THE_START[0], number, text, words }
    }

    #[test]
    fn a_reply_has_exactly_as_many_words_as_are_wanted() {
        for words in [1, 2, 3, 7, 50, 2000] {
            for text in ["", "hello", &"long ".repeat(30)] {
                let reply = turn(1, text, Some(words)).text();
                assert_eq!(reply.split_whitespace().count(), words, "{reply}");
                assert!(reply.ends_with(['.', '?']));
            }
        }
    }

    #[test]
    fn a_reply_quotes_and_changes_from_turn_to_turn() {
        let replies: Vec<_> = (0..20).map(|number| turn(number, "where is it", None).text()).collect();
        assert!(replies.iter().all(|reply| reply.contains("“where is it”")));
        assert!(replies.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(replies.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_quoted() {
        let text = "word ".repeat(100_000) + &"x".repeat(100_000);
        assert!(turn(0, &text, None).text().len() < 800);
        assert!(turn(0, &"x".repeat(100_000), None).reasoning().len() < 200);
    }
}
