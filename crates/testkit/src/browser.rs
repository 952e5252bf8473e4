//! A headless Chromium, driven over a pipe: what people see, tried as they see it.
//!
//! Everything that a page asks a network for and everything its scripts complain about is kept, so
//! that a test can say that no byte of a photo left and that no script failed.

#![allow(
    clippy::indexing_slicing,
    reason = "a field that a JSON answer lacks is null and does not panic"
)]

use std::cell::{Cell, RefCell};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

/// No step of a page takes longer, on a machine that does much else.
const LONGEST: Duration = Duration::from_secs(90);

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    to: RefCell<ChildStdin>,
    from: Receiver<Value>,
    next: Cell<u64>,
    session: String,
    events: RefCell<Vec<Value>>,
    // The profile, removed with the browser.
    _folder: TempDir,
}

/// Something the page asked a network for.
#[derive(Clone, Debug)]
pub struct Sent {
    /// How.
    pub method: String,
    /// Where.
    pub url: String,
    /// What was sent along.
    pub body: Option<String>,
    /// What was said beside it, as JSON.
    pub headers: String,
}

/// How large the window is and which colours the reader wants.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether the reader wants dark pages.
    pub is_dark: bool,
}

impl Window {
    /// A telephone, upright.
    pub const PHONE: Self = Self {
        width: 390,
        height: 844,
        is_dark: false,
    };
    /// A desk.
    pub const DESKTOP: Self = Self {
        width: 1280,
        height: 900,
        is_dark: false,
    };

    /// The same in the dark.
    pub const fn dark(self) -> Self {
        Self {
            is_dark: true,
            ..self
        }
    }
}

/// Where Chromium is installed.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").context("there is no PATH")?;
    let named = |name: &str| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
    };
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(named)
        .context("the pages' tests need Chromium: apt install chromium")
}

impl Browser {
    /// Starts a browser with an empty page.
    pub fn start(window: Window) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // The browser reads commands from descriptor 3 and answers on 4; a shell gives it our pipes
        // there.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh"])
            .arg(program()?)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-extensions",
                "--remote-debugging-pipe",
                // Names by which this machine looks like another one.
                "--host-resolver-rules=MAP *.test 127.0.0.1",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().context("Chromium does not start")?;
        let to = process.stdin.take().context("no pipe to Chromium")?;
        let from = process.stdout.take().context("no pipe from Chromium")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let messages = BufReader::new(from).split(0).map_while(Result::ok);
            for message in messages {
                let Ok(message) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            to: RefCell::new(to),
            from: receiver,
            next: Cell::new(1),
            session: String::new(),
            events: RefCell::default(),
            _folder: folder,
        };
        browser.attach()?;
        browser.resize(window)?;
        Ok(browser)
    }

    fn attach(&mut self) -> anyhow::Result<()> {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", target)?;
        self.session = attached["sessionId"]
            .as_str()
            .context("Chromium names no session")?
            .to_owned();
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        let all = json!({"maxPostDataSize": 1_000_000});
        self.call("Network.enable", all).map(drop)
    }

    fn send(&self, method: &str, params: Value) -> anyhow::Result<u64> {
        let id = self.next.replace(self.next.get() + 1);
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut to = self.to.borrow_mut();
        to.write_all(message.to_string().as_bytes())?;
        to.write_all(&[0])?;
        to.flush()?;
        Ok(id)
    }

    /// Asks the browser something. Whatever a page asks its reader meanwhile is answered with yes.
    pub fn call(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let id = self.send(method, params)?;
        let end = Instant::now() + LONGEST;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self
                .from
                .recv_timeout(left)
                .with_context(|| format!("Chromium does not answer {method}"))?;
            if message["id"] != id {
                if message["method"] == "Page.javascriptDialogOpening" {
                    self.send("Page.handleJavaScriptDialog", json!({"accept": true}))?;
                }
                self.events.borrow_mut().push(message);
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(message["result"].clone());
        }
    }

    /// Sets the size of the window and the colours the reader wants.
    pub fn resize(&self, window: Window) -> anyhow::Result<()> {
        let metrics = json!({"width": window.width, "height": window.height, "deviceScaleFactor": 1, "mobile": window.width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        let theme = if window.is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.call("Emulation.setEmulatedMedia", media).map(drop)
    }

    /// Opens a page and waits until it is there.
    pub fn open(&self, url: &str) -> anyhow::Result<()> {
        self.call("Page.navigate", json!({"url": url}))?;
        self.wait_for(&format!(
            "location.href === {} && document.readyState === 'complete'",
            json!(url)
        ))
    }

    /// The value of an expression in the page; promises are awaited.
    pub fn value(&self, expression: &str) -> anyhow::Result<Value> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", asked)?;
        match answer.get("exceptionDetails") {
            Some(exception) => Err(anyhow!("{expression}: {exception}")),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The text that a reader sees in the first element that a selector finds.
    pub fn text(&self, selector: &str) -> anyhow::Result<String> {
        let value = self.value(&format!(
            "document.querySelector({})?.innerText ?? ''",
            json!(selector)
        ))?;
        Ok(value.as_str().unwrap_or("").to_owned())
    }

    /// Waits until an expression holds in the page.
    pub fn wait_for(&self, expression: &str) -> anyhow::Result<()> {
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            // While a page is being left, there is nothing to evaluate in.
            if self
                .value(expression)
                .is_ok_and(|value| value == json!(true))
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let seen = self.text("body")?;
        bail!("this never came to hold: {expression}\nthe page says:\n{seen}")
    }

    /// Clicks what a selector finds.
    pub fn click(&self, selector: &str) -> anyhow::Result<()> {
        let found = self.value(&format!(
            "(() => {{ const found = document.querySelector({}); found?.click(); return !!found; }})()",
            json!(selector)
        ))?;
        (found == json!(true))
            .then_some(())
            .with_context(|| format!("there is no {selector} to click"))
    }

    /// Types into the field that a selector finds.
    pub fn fill(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        self.value(&format!(
            "(() => {{ const field = document.querySelector({}); field.focus(); field.value = {}; field.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
            json!(selector),
            json!(text)
        ))
        .map(drop)
    }

    /// Chooses files in a file field, as from its dialog.
    pub fn choose(&self, selector: &str, files: &[&Path]) -> anyhow::Result<()> {
        let asked = json!({"expression": format!("document.querySelector({})", json!(selector))});
        let field = self.call("Runtime.evaluate", asked)?;
        let chosen = json!({"objectId": field["result"]["objectId"], "files": files});
        self.call("DOM.setFileInputFiles", chosen).map(drop)
    }

    /// Drags files or folders from the desktop onto a point of the page.
    pub fn drop_files(&self, (x, y): (u32, u32), files: &[&Path]) -> anyhow::Result<()> {
        let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
        self.drag((x, y), &data)
    }

    /// Drags something that is no file onto a point of the page, as from another page.
    pub fn drop_text(&self, (x, y): (u32, u32), kind: &str, text: &str) -> anyhow::Result<()> {
        let data = json!({"items": [{"mimeType": kind, "data": text}], "files": [], "dragOperationsMask": 1});
        self.drag((x, y), &data)
    }

    fn drag(&self, (x, y): (u32, u32), data: &Value) -> anyhow::Result<()> {
        for step in ["dragEnter", "dragOver", "drop"] {
            let event = json!({"type": step, "x": x, "y": y, "data": data});
            self.call("Input.dispatchDragEvent", event)?;
        }
        Ok(())
    }

    /// The whole page as a PNG.
    pub fn screenshot(&self, to: &Path) -> anyhow::Result<()> {
        use base64::Engine as _;
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.call("Page.captureScreenshot", whole)?;
        let data = taken["data"].as_str().context("no screenshot")?;
        let data = base64::engine::general_purpose::STANDARD.decode(data)?;
        Ok(std::fs::write(to, data)?)
    }

    fn events(&self) -> anyhow::Result<Vec<Value>> {
        // Whatever happened before this answer has been told before it.
        self.call("Runtime.evaluate", json!({"expression": "0"}))?;
        Ok(self.events.borrow().clone())
    }

    /// Everything that was asked of a network since the start.
    pub fn sent(&self) -> anyhow::Result<Vec<Sent>> {
        let sent = |event: &Value| {
            let request = &event["params"]["request"];
            let url = request["url"].as_str()?.to_owned();
            let is_network = !url.starts_with("blob:") && !url.starts_with("data:");
            is_network.then(|| Sent {
                method: request["method"].as_str().unwrap_or("").to_owned(),
                url,
                body: request["postData"].as_str().map(str::to_owned),
                headers: request["headers"].to_string(),
            })
        };
        let events = self.events()?;
        let requests = events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        Ok(requests.filter_map(sent).collect())
    }

    /// What the page has asked its reader in dialogs.
    pub fn questions(&self) -> anyhow::Result<Vec<String>> {
        let events = self.events()?;
        let asked = events
            .iter()
            .filter(|event| event["method"] == "Page.javascriptDialogOpening");
        Ok(asked
            .filter_map(|event| Some(event["params"]["message"].as_str()?.to_owned()))
            .collect())
    }

    /// What scripts failed with, and what the browser itself complained about.
    pub fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let is_error = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        Ok(self
            .events()?
            .iter()
            .filter(is_error)
            .map(|event| event["params"].to_string())
            .collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it. An error means that it has ended already.
        let _ = self.call("Browser.close", json!({}));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
