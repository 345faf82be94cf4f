//! Writes a JSON object, member by member. It must not know what the members mean.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

#[derive(Default)]
pub(crate) struct Object(String);

impl Object {
    /// A member; none when there is no value.
    pub fn add(mut self, key: &str, value: Option<impl Value>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '{' } else { ',' });
            self.0 += &format!("{}:{}", key.to_json(), value.to_json());
        }
        self
    }

    pub fn finish(self) -> String {
        if self.0.is_empty() {
            "{}".to_string()
        } else {
            self.0 + "}"
        }
    }
}

/// What a member may be.
pub(crate) trait Value {
    fn to_json(&self) -> String;
}

impl Value for &str {
    fn to_json(&self) -> String {
        let mut json = String::from("\"");
        for character in self.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                '\0'..='\x1f' => json += &format!("\\u{:04x}", character as u32),
                _ => json.push(character),
            }
        }
        json + "\""
    }
}

impl Value for &[String] {
    fn to_json(&self) -> String {
        let texts: Vec<String> = self.iter().map(|text| text.as_str().to_json()).collect();
        format!("[{}]", texts.join(","))
    }
}

impl Value for &[Object] {
    fn to_json(&self) -> String {
        let objects: Vec<String> = self.iter().map(Value::to_json).collect();
        format!("[{}]", objects.join(","))
    }
}

impl Value for &[f64] {
    fn to_json(&self) -> String {
        let numbers: Vec<String> = self.iter().map(Value::to_json).collect();
        format!("[{}]", numbers.join(","))
    }
}

/// JSON that was written before.
impl Value for Object {
    fn to_json(&self) -> String {
        format!("{}{}", if self.0.is_empty() { "{" } else { &self.0 }, "}")
    }
}

macro_rules! display {
    ($($type:ty)*) => {
        $(impl Value for $type {
            fn to_json(&self) -> String {
                self.to_string() // floats: the shortest text that reads back as the same number
            }
        })*
    };
}

display!(bool u32 i32 u64 f64);
