//! Which agent a request concerns, and whether the token grants it the access.

use super::{Decision, Owned, Owner};
use crate::access::table::{Pattern, Segment};
use crate::access::{Denial, Preset, Target};
use crate::keys::Verified;
use crate::token::{Access, AgentId, quote};

/// By the agent in the path.
pub(super) fn by_path<'v>(
    preset: Preset,
    token: &'v Verified,
    needed: Access,
    pattern: &Pattern,
    target: &Target<'_>,
) -> Result<&'v AgentId, Denial> {
    let place = pattern.place_of(&Segment::Agent).ok_or(Denial::RouteNotAllowed)?;
    granted(preset, token, needed, &target.segments[place])
}

/// By the agent that the query names, exactly once: of two, servers differ in which one counts.
pub(super) fn by_query<'v>(
    preset: Preset,
    token: &'v Verified,
    needed: Access,
    key: &str,
    target: &Target<'_>,
) -> Result<&'v AgentId, Denial> {
    let mut ids = target.query.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
    match (ids.next(), ids.next()) {
        (Some(id), None) => granted(preset, token, needed, id),
        (first, _) => {
            let seen = if first.is_some() { "stands more than once" } else { "is missing" };
            let rule = format!("must name the agent, exactly once; it {seen}");
            Err(Denial::QueryNotValid { key: key.to_owned(), rule })
        }
    }
}

/// By the agent that owns the conversation or run in the path. Who may touch none at all learns
/// nothing, and asks nothing of the agent server.
pub(super) fn by_owner<'v, 't>(
    token: &'v Verified,
    needed: Access,
    pattern: &Pattern,
    target: &Target<'_>,
    owner: Option<Owner>,
) -> Result<&'v AgentId, Decision<'t>> {
    let conversation = pattern.place_of(&Segment::Conversation);
    let place = conversation.or_else(|| pattern.place_of(&Segment::Run)).ok_or(Denial::RouteNotAllowed)?;
    let id = &target.segments[place];
    check_form(if conversation.is_some() { "conv" } else { "run" }, id)?;
    let grants = token.policy.data.grants();
    if !grants.iter().any(|grant| grant.access.contains(&needed)) {
        return Err(Denial::AccessMissing { needed }.into());
    }
    match owner {
        None if conversation.is_some() => Err(Decision::NeedsOwner(Owned::Conversation(id.to_string()))),
        None => Err(Decision::NeedsOwner(Owned::Run(id.to_string()))),
        Some(Owner::Absent) => Err(Denial::NotGranted.into()),
        Some(Owner::Agent(agent)) => {
            let fitting = grants.iter().find(|grant| grant.id == agent && grant.access.contains(&needed));
            Ok(fitting.map(|grant| &grant.id).ok_or(Denial::NotGranted)?)
        }
    }
}

/// The agent of this id, if some grant for it has the access.
fn granted<'v>(preset: Preset, token: &'v Verified, needed: Access, id: &str) -> Result<&'v AgentId, Denial> {
    match preset {
        Preset::Letta => check_form("agent", id)?,
        Preset::None => {}
    }
    let mut grants = token.policy.data.grants().iter().filter(|grant| grant.id.as_str() == id).peekable();
    if grants.peek().is_none() {
        return Err(match AgentId::parse(id) {
            Ok(_) => Denial::AgentNotGranted,
            Err(rule) => Denial::IdNotValid(format!("the agent's id {rule}")),
        });
    }
    let fitting = grants.find(|grant| grant.access.contains(&needed));
    fitting.map(|grant| &grant.id).ok_or(Denial::AccessMissing { needed })
}

/// Checks that an id is one of Letta's: the kind, and a UUID of version 4 in lower case (RFC 9562,
/// section 5.4). The server takes other things in the same place (`default`, an agent's id), which
/// select by other fields.
fn check_form(kind: &str, id: &str) -> Result<(), Denial> {
    if id.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-')).is_some_and(is_uuid_4) {
        return Ok(());
    }
    Err(Denial::IdNotValid(format!(
        "the id must be `{kind}-` and a UUID of version 4 in lower case, as in \
         `{kind}-1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb`, got {}",
        quote(id)
    )))
}

fn is_uuid_4(text: &str) -> bool {
    let Ok(bytes) = <&[u8; 36]>::try_from(text.as_bytes()) else { return false };
    // All bytes are looked at, whatever the first ones are, and so many at a time.
    let digits: u8 = bytes.iter().map(|byte| u8::from(matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).sum();
    digits == 32
        && [8, 13, 18, 23].iter().all(|place| bytes[*place] == b'-')
        && bytes[14] == b'4'
        && matches!(bytes[19], b'8' | b'9' | b'a' | b'b')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "1b4e28ba-2fa1-4d2b-883f-b9a761bde3fb";

    #[test]
    fn every_place_of_a_uuid_is_looked_at() {
        assert!(is_uuid_4(GOOD));
        for place in 0..GOOD.len() {
            for odd in ["g", "F", "/", ":", "`", "-", "a", "4", "é"] {
                let text = format!("{}{odd}{}", &GOOD[..place], &GOOD[place + 1..]);
                let fits = match place {
                    8 | 13 | 18 | 23 => odd == "-",
                    14 => odd == "4",
                    19 => odd == "a",
                    _ => matches!(odd, "a" | "4"),
                };
                assert_eq!(is_uuid_4(&text), fits, "{text}");
            }
        }
        let moved = &GOOD.replace("-4d", "4-d");
        for text in ["", &GOOD[1..], &format!("{GOOD}0"), moved, &GOOD.replace('-', "")] {
            assert!(!is_uuid_4(text), "{text}");
        }
    }
}
