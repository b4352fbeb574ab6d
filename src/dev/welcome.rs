//! The start screen: where the server is, and a first token by whatever is at hand.

use std::fmt;

use crate::keys::DEV_API_KEY;

/// What the start screen tells.
pub struct Welcome<'a> {
    pub base_url: &'a str,
    pub origin: &'a str,
    /// Ids and names of agents that are there.
    pub agents: &'a [(String, String)],
    /// The agent server, if it is a real one.
    pub upstream: Option<&'a str>,
    pub coloured: bool,
}

impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bold, dim, end) = if self.coloured { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let Self { base_url, origin, .. } = self;
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "\n  {bold}Hallpass {version}{end}, for development\n")?;
        writeln!(f, "  Base URL   {bold}{base_url}{end}")?;
        writeln!(
            f,
            "  API key    {bold}{DEV_API_KEY}{end}  {dim}everybody knows it; `serve` refuses it{end}"
        )?;
        writeln!(f, "  Page       {origin}  {dim}another one: --origin{end}")?;
        match self.upstream {
            Some(upstream) => writeln!(f, "  Agents     those of {upstream}")?,
            None => {
                for (index, (id, name)) in self.agents.iter().enumerate() {
                    let label = if index == 0 { "Agents" } else { "" };
                    writeln!(f, "  {label:10} {id}  {dim}{name}{end}")?;
                }
                writeln!(
                    f,
                    "  {:10} {dim}or any other agent-<uuid>; they are played, no model answers{end}",
                    ""
                )?;
            }
        }
        let agent = self.agents.first().map_or("agent-…", |(id, _)| id);
        writeln!(f, "\n  {bold}A token, as your backend asks for it{end}\n")?;
        writeln!(f, "    curl {base_url}/v1/client-side-access-tokens \\")?;
        writeln!(f, "      -H 'Authorization: Bearer {DEV_API_KEY}' -H 'Content-Type: application/json' \\")?;
        writeln!(f, "      -d '{{\"hostname\": \"{origin}\", \"policy\": [{{\"type\": \"agent\",")?;
        writeln!(
            f,
            "           \"id\": \"{agent}\", \"access\": [\"read_messages\", \"write_messages\"]}}]}}'\n"
        )?;
        writeln!(f, "    {dim}// TypeScript: npm install @letta-ai/letta-client{end}")?;
        writeln!(
            f,
            "    const letta = new Letta({{ apiKey: \"{DEV_API_KEY}\", baseURL: \"{base_url}\" }});"
        )?;
        writeln!(f, "    const {{ token }} = await letta.accessTokens.create({{ hostname: \"{origin}\",")?;
        writeln!(
            f,
            "      policy: [{{ type: \"agent\", id: \"{agent}\", access: [\"write_messages\"] }}] }});\n"
        )?;
        writeln!(f, "    {dim}# Python: pip install letta-client{end}")?;
        writeln!(f, "    letta = Letta(api_key=\"{DEV_API_KEY}\", base_url=\"{base_url}\")")?;
        writeln!(f, "    token = letta.access_tokens.create(hostname=\"{origin}\",")?;
        writeln!(
            f,
            "      policy=[{{\"type\": \"agent\", \"id\": \"{agent}\", \"access\": [\"write_messages\"]}}]).token\n"
        )?;
        writeln!(
            f,
            "  {bold}Time and faults{end}   POST /dev/clock {{\"advance\":\"6m\"}}, /dev/fault {{\"next\":\"429\"}}, /dev/reset {{}}"
        )?;
        writeln!(f, "  {bold}What happened{end}     GET /dev/log, and below  {dim}(docs/frontend.md){end}")?;
        writeln!(f, "\n  Everything is in memory. Ctrl-C ends it.\n")
    }
}
