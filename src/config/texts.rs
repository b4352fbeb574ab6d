//! How values are written that TOML has no kind for.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serializer};

use crate::store::DatabaseUrl;
use crate::units;

pub(super) mod database_url {
    use super::{DatabaseUrl, Deserialize, Deserializer, Serializer};

    /// Without its password: this is for people to look at.
    pub(in crate::config) fn serialize<S: Serializer>(
        url: &DatabaseUrl,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(url)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DatabaseUrl, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

pub(super) mod optional_database_url {
    use super::{DatabaseUrl, Deserializer, Serializer, database_url};

    pub(in crate::config) fn serialize<S: Serializer>(
        url: &Option<DatabaseUrl>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match url {
            Some(url) => database_url::serialize(url, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DatabaseUrl>, D::Error> {
        database_url::deserialize(deserializer).map(Some)
    }
}

pub(super) mod duration_text {
    use super::{Deserialize, Deserializer, Duration, Serializer, units};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::show_duration(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        units::parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

pub(super) mod size_text {
    use super::{Deserialize, Deserializer, Serializer, units};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::show_size(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<usize, D::Error> {
        units::parse_size(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Networks in the notation of RFC 4632: an address, a slash and the length of the prefix.
pub(super) mod networks {
    use super::{Deserialize, Deserializer, IpNet, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        networks: &[IpNet],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(IpNet::to_string))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<IpNet>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| parse(text).map_err(serde::de::Error::custom)).collect()
    }

    fn parse(text: &str) -> Result<IpNet, String> {
        let Ok(network) = text.parse::<IpNet>() else {
            return Err(format!(
                "must be networks such as `10.0.0.0/8`, or `10.0.0.1/32` for one address, got `{text}`"
            ));
        };
        // Whoever wrote one address and a short prefix may have meant the address.
        let whole = network.trunc();
        if whole == network {
            return Ok(network);
        }
        Err(format!("`{text}` is an address within the network `{whole}`: write the one that you mean"))
    }
}
