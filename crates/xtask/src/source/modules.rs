//! The modules of a crate, which file each stands in, and the paths each names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::lexer::{Kind, Token};
use super::{Text, closing};

/// A crate: a tree of modules that begins with one file.
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

/// One module: a file, or a part of one.
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    /// What it names, in the order of the text.
    pub(crate) usages: Vec<Usage>,
    children: BTreeMap<String, usize>,
    /// What a `use` brings into the module, by the name it has there.
    imports: BTreeMap<String, Vec<String>>,
    /// Where its children's files are.
    folder: PathBuf,
}

/// A path that a module names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// Follows no more re-exports of re-exports than this: they may lead in a circle.
const MOST_STEPS: usize = 16;

impl Crate {
    /// Reads the crate that begins with the file `root`.
    pub(crate) fn read(root: &Path, text_of: &dyn Fn(&Path) -> Option<String>) -> Self {
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        let mut modules = Self { modules: vec![] };
        modules.read_file(root, folder, None, text_of);
        modules
    }

    /// The module whose file defines what `path` names, seen from the module `from`. None for what
    /// is not in this crate, and for a path that ends in a module: that names no item of a file.
    pub(crate) fn definition(&self, from: usize, path: &[String]) -> Option<usize> {
        match self.resolve(from, path, MOST_STEPS)? {
            Named::Item(module) => Some(module),
            Named::Module => None,
        }
    }

    /// Whether `inner` stands somewhere below `outer`.
    pub(crate) fn is_below(&self, inner: usize, outer: usize) -> bool {
        let parent = |module: &usize| self.modules.get(*module)?.parent;
        std::iter::successors(parent(&inner), parent).any(|above| above == outer)
    }

    fn resolve(&self, from: usize, path: &[String], steps: usize) -> Option<Named> {
        let (first, rest) = path.split_first()?;
        let module = self.modules.get(from)?;
        match first.as_str() {
            "crate" => self.walk(0, rest, steps),
            "self" => self.walk(from, rest, steps),
            "super" => self.walk(module.parent?, rest, steps),
            name if module.children.contains_key(name) || module.imports.contains_key(name) => {
                self.walk(from, path, steps)
            }
            _ => None,
        }
    }

    fn walk(&self, from: usize, path: &[String], steps: usize) -> Option<Named> {
        let Some((first, rest)) = path.split_first() else {
            return Some(Named::Module);
        };
        let module = self.modules.get(from)?;
        if first == "super" {
            return self.walk(module.parent?, rest, steps);
        }
        if let Some(child) = module.children.get(first) {
            return self.walk(*child, rest, steps);
        }
        let Some(imported) = module.imports.get(first) else {
            return Some(Named::Item(from));
        };
        let whole = [imported.as_slice(), rest].concat();
        self.resolve(from, &whole, steps.checked_sub(1)?)
    }

    fn read_file(
        &mut self,
        file: &Path,
        folder: PathBuf,
        parent: Option<usize>,
        text_of: &dyn Fn(&Path) -> Option<String>,
    ) -> Option<usize> {
        let text = text_of(file)?;
        let mut tokens = Text::of(&text).code;
        tokens.retain(|token| !matches!(token.kind, Kind::Comment(_)));
        let module = self.add(file, folder, parent);
        self.read_body(module, &tokens, text_of);
        Some(module)
    }

    fn add(&mut self, file: &Path, folder: PathBuf, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            usages: vec![],
            children: BTreeMap::new(),
            imports: BTreeMap::new(),
            folder,
        });
        self.modules.len() - 1
    }

    fn read_body(
        &mut self,
        module: usize,
        tokens: &[Token],
        text_of: &dyn Fn(&Path) -> Option<String>,
    ) {
        let mut body = Body {
            tokens,
            position: 0,
        };
        while let Some(piece) = body.next() {
            match piece {
                Piece::Use(imports) => self.take_imports(module, imports),
                Piece::Path(usage) => self.usages_of(module).push(usage),
                Piece::Child { name, inside } => self.take_child(module, name, inside, text_of),
            }
        }
    }

    fn usages_of(&mut self, module: usize) -> &mut Vec<Usage> {
        #[expect(
            clippy::indexing_slicing,
            reason = "numbers of modules come from `add`"
        )]
        &mut self.modules[module].usages
    }

    fn take_imports(&mut self, module: usize, imports: Vec<Import>) {
        let Some(module) = self.modules.get_mut(module) else {
            return;
        };
        for import in imports {
            let (path, line) = (import.path, import.line);
            if let Some(name) = import.name {
                module.imports.insert(name, path.clone());
            }
            module.usages.push(Usage { path, line });
        }
    }

    fn take_child(
        &mut self,
        module: usize,
        name: &str,
        inside: Option<&[Token]>,
        text_of: &dyn Fn(&Path) -> Option<String>,
    ) {
        let Some(parent) = self.modules.get(module) else {
            return;
        };
        let (file, folder) = (parent.file.clone(), parent.folder.clone());
        let below = folder.join(name);
        let child = match inside {
            Some(tokens) => {
                let child = self.add(&file, below, Some(module));
                self.read_body(child, tokens, text_of);
                Some(child)
            }
            None => [folder.join(format!("{name}.rs")), below.join("mod.rs")]
                .iter()
                .find_map(|file| self.read_file(file, below.clone(), Some(module), text_of)),
        };
        if let (Some(child), Some(parent)) = (child, self.modules.get_mut(module)) {
            parent.children.insert(name.to_owned(), child);
        }
    }
}

/// What a path names.
enum Named {
    /// A module itself.
    Module,
    /// Something defined in this module's file.
    Item(usize),
}

/// One leaf of a `use`.
struct Import {
    path: Vec<String>,
    /// What it is called here; a glob gives no name.
    name: Option<String>,
    line: usize,
}

/// What the module tree is made of.
enum Piece<'a> {
    Use(Vec<Import>),
    Path(Usage),
    Child {
        name: &'a str,
        inside: Option<&'a [Token]>,
    },
}

/// A module's text, read from front to back.
struct Body<'a> {
    tokens: &'a [Token],
    position: usize,
}

impl<'a> Body<'a> {
    fn next(&mut self) -> Option<Piece<'a>> {
        while let Some(token) = self.tokens.get(self.position) {
            if token.is("pub") {
                self.skip_visibility();
            } else if token.is("mod") && self.name_at(1).is_some() {
                return Some(self.child());
            } else if token.is("use") && !self.is_at(1, "<") {
                return Some(Piece::Use(self.imports()));
            } else if let Some(usage) = self.path() {
                return Some(Piece::Path(usage));
            }
        }
        None
    }

    fn is_at(&self, ahead: usize, text: &str) -> bool {
        let token = self.tokens.get(self.position + ahead);
        token.is_some_and(|token| token.is(text))
    }

    fn name_at(&self, ahead: usize) -> Option<&'a str> {
        let token = self.tokens.get(self.position + ahead)?;
        (token.kind == Kind::Name).then_some(token.text.as_str())
    }

    /// `pub(in crate::a)` names nothing.
    fn skip_visibility(&mut self) {
        self.position += 1;
        if self.is_at(0, "(") {
            self.position = closing(self.tokens, self.position) + 1;
        }
    }

    fn child(&mut self) -> Piece<'a> {
        let name = self.name_at(1).unwrap_or("");
        let open = self.position + 2;
        if !self.is_at(2, "{") {
            self.position = open + 1;
            return Piece::Child { name, inside: None };
        }
        let end = closing(self.tokens, open);
        self.position = end + 1;
        let inside = self.tokens.get(open + 1..end);
        Piece::Child { name, inside }
    }

    fn imports(&mut self) -> Vec<Import> {
        let start = self.position + 1;
        let rest = self.tokens.get(start..).unwrap_or(&[]);
        let length = rest.iter().position(|token| token.is(";"));
        let length = length.unwrap_or(rest.len());
        self.position = start + length + 1;
        let mut paths = vec![];
        leaves(rest.get(..length).unwrap_or(&[]), &[], &mut paths);
        paths
    }

    /// Goes past what stands here, and gives it if it is a path of several names: `crate::a::b`,
    /// `super::b`, `a::b`.
    fn path(&mut self) -> Option<Usage> {
        // `::a` begins outside of this crate.
        let before = self.position.checked_sub(1);
        let before = before.and_then(|position| self.tokens.get(position));
        let is_ours = before.is_none_or(|token| !token.is("::"));
        let (first, line) = (self.name_at(0), self.tokens.get(self.position)?.line);
        let mut path: Vec<_> = first.into_iter().map(str::to_owned).collect();
        self.position += 1;
        while !path.is_empty() && self.is_at(0, "::") {
            let Some(name) = self.name_at(1) else {
                break;
            };
            path.push(name.to_owned());
            self.position += 2;
        }
        let is_path = path.len() > 1 && is_ours;
        is_path.then_some(Usage { path, line })
    }
}

/// The leaves of a `use` tree, each with its whole path.
fn leaves(tokens: &[Token], prefix: &[String], found: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut name = None;
    let mut line = 0;
    let mut position = 0;
    let mut has_inner = false;
    while let Some(token) = tokens.get(position) {
        if token.is("{") {
            let end = closing(tokens, position);
            let inner = tokens.get(position + 1..end).unwrap_or(&[]);
            branches(inner).for_each(|branch| leaves(branch, &path, found));
            has_inner = true;
            position = end;
        } else if token.is("as") {
            name = tokens.get(position + 1).map(|token| token.text.clone());
            position += 1;
        } else if token.kind == Kind::Name || token.is("*") {
            path.push(token.text.clone());
            line = token.line;
        }
        position += 1;
    }
    if has_inner || path.len() == prefix.len() {
        return;
    }
    // `a::{self}` is `a`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let is_glob = path.last().is_some_and(|last| last == "*");
    let name = name.or_else(|| path.last().cloned()).filter(|_| !is_glob);
    found.push(Import { path, name, line });
}

/// The parts of a `use` tree between its commas.
fn branches(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0usize;
    tokens.split(move |token| {
        if token.is("{") {
            depth += 1;
        } else if token.is("}") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is(",")
    })
}
