//! Leads a headless Chromium, if one is installed, through a page: by its debugging protocol, over
//! pipes.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    chromium,
    process::{limit, wait_until},
};

/// The protocol's pipes are 3 and 4. The browser's own output is dropped.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// A browser with one page. Dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    console: Vec<String>,
    /// The profile folder is removed when the browser is dropped.
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser with a window of that width. Returns `None`, with a message, if none is
    /// installed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(width: u32) -> Option<Self> {
        let program = chromium::find()?;
        let profile = TempDir::new().expect("a temporary folder can be made");
        let mut child = Command::new("sh")
            .args(["-c", START])
            .arg(program)
            .args(chromium::QUIET)
            .args(["--disable-component-update", "--disable-sync", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let orders = child.stdin.take().expect("a pipe");
        let answers = child.stdout.take().expect("a pipe");
        let (send, messages) = channel();
        thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            let mut text = Vec::new();
            while answers.read_until(0, &mut text).is_ok_and(|count| count > 0) {
                let message = serde_json::from_slice(&text[..text.len() - 1]).unwrap_or_default();
                text.clear();
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let (session, console) = (None, Vec::new());
        let mut browser =
            Self { child, orders, messages, session, sent: 0, console, _profile: profile };
        let page = wait_until("a page", || {
            let targets = browser.call("Target.getTargets", &json!({}));
            let all = targets["targetInfos"].as_array()?;
            all.iter()
                .find(|target| target["type"] == "page")
                .map(|target| target["targetId"].clone())
        });
        let attached =
            browser.call("Target.attachToTarget", &json!({"targetId": page, "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        browser.call("Emulation.setDeviceMetricsOverride", &metrics);
        Some(browser)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let mut order = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).expect("the browser takes orders");
        loop {
            let mut message = self.messages.recv_timeout(limit()).expect("the browser answers");
            if message["id"] == self.sent {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            // Breaches of the content security policy are logged here, too.
            let logged = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
            if message["method"].as_str().is_some_and(|method| logged.contains(&method)) {
                self.console.push(message["params"].to_string());
            }
        }
    }

    /// Opens an address.
    pub fn go(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
    }

    /// Evaluates an expression in the page and returns its value; promises are awaited.
    ///
    /// # Panics
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let how = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.call("Runtime.evaluate", &how);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression has a value other than null, false, zero or an empty text.
    pub fn wait(&mut self, what: &str, expression: &str) -> Value {
        wait_until(what, || {
            let value = self.evaluate(&format!(
                "(() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()"
            ));
            let nothing = value.is_null() || value == false || value == 0 || value == "";
            (!nothing).then_some(value)
        })
    }

    /// Returns the page's elements as HTML.
    pub fn dom(&mut self) -> String {
        self.evaluate("document.documentElement.outerHTML").as_str().unwrap_or_default().to_owned()
    }

    /// Returns the messages that the page has logged to the console so far.
    pub fn console(&self) -> &[String] {
        &self.console
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
