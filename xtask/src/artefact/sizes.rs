//! What a module's bytes are spent on: code by room and by library, data, and the largest functions.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};

use anyhow::{Context, Result};
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

use crate::artefact::module;
use crate::artefact::rooms::{self, Owner};

/// How many rooms, and how many libraries, the short report names.
const NAMED: usize = 6;
/// How many functions the whole report names.
const LARGEST: usize = 10;
/// Longer names of functions are cut.
const NAME_WIDTH: usize = 100;

/// The bytes of one module, without its names.
pub(crate) struct Sizes {
    /// The largest first.
    functions: Vec<Function>,
    /// Constants and statics. The linker has merged those of all rooms, without names.
    data: usize,
    /// All else: types, imports, exports, the table of functions, the version.
    rest: usize,
}

struct Function {
    name: String,
    owner: Owner,
    bytes: usize,
}

/// What one owner has.
#[derive(Clone, Copy, Default)]
struct Total {
    functions: usize,
    bytes: usize,
}

impl Sizes {
    /// Of a module that has the names of its functions still.
    pub(crate) fn of(named: &[u8]) -> Result<Self> {
        let (mut imported, mut bodies, mut data) = (0, Vec::new(), 0);
        let mut names: HashMap<u32, &str> = HashMap::new();
        for payload in Parser::new(0).parse_all(named) {
            match payload.context("not a WebAssembly module")? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        imported += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                    }
                }
                Payload::CodeSectionEntry(body) => bodies.push(with_its_length(body.as_bytes().len())),
                Payload::DataSection(section) => data = usize::try_from(section.range().end - section.range().start)?,
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(subsections) = section.as_known() {
                        for subsection in subsections {
                            if let Name::Function(functions) = subsection? {
                                for naming in functions {
                                    let naming = naming?;
                                    names.insert(naming.index, naming.name);
                                }
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let mut functions: Vec<Function> = (imported..)
            .zip(bodies)
            .map(|(index, bytes)| {
                let name = rooms::readable(names.get(&index).copied().unwrap_or_default());
                Function { owner: rooms::owner(&name), name, bytes }
            })
            .collect();
        functions.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        let code: usize = functions.iter().map(|function| function.bytes).sum();
        let rest = module::without_names(named)?.len() - code - data;
        Ok(Self { functions, data, rest })
    }

    fn total(&self) -> usize {
        self.data + self.rest + self.functions.iter().map(|function| function.bytes).sum::<usize>()
    }

    /// Each owner with its code, the largest first.
    fn owners(&self) -> Vec<(&Owner, Total)> {
        let mut totals: BTreeMap<&Owner, Total> = BTreeMap::new();
        for function in &self.functions {
            let total = totals.entry(&function.owner).or_default();
            total.functions += 1;
            total.bytes += function.bytes;
        }
        let mut owners: Vec<_> = totals.into_iter().collect();
        owners.sort_by_key(|(_, total)| std::cmp::Reverse(total.bytes));
        owners
    }

    /// A few lines for every build.
    pub(crate) fn short(&self) -> impl Display {
        fmt::from_fn(|f| {
            let (rooms, libraries): (Vec<_>, Vec<_>) =
                self.owners().into_iter().partition(|(owner, _)| matches!(owner, Owner::Room(_)));
            write_line(f, "rooms", &rooms)?;
            write_line(f, "libraries", &libraries)?;
            write!(f, "  data {} KB, other sections {} KB", kilobytes(self.data), kilobytes(self.rest))
        })
    }

    /// Every room and library, and the largest functions.
    pub(crate) fn whole(&self) -> impl Display {
        fmt::from_fn(|f| {
            let share = |bytes: usize| bytes as f64 * 100.0 / self.total().max(1) as f64;
            writeln!(f, "{:<24} {:>9} {:>8} {:>6}", "room or library", "functions", "bytes", "%")?;
            for (owner, Total { functions, bytes }) in self.owners() {
                let kind = if matches!(owner, Owner::Room(_)) { "" } else { "library " };
                let name = format!("{kind}{}", owner.name());
                writeln!(f, "{name:<24} {functions:>9} {bytes:>8} {:>6.1}", share(bytes))?;
            }
            for (name, bytes) in [("data", self.data), ("other sections", self.rest), ("all", self.total())] {
                writeln!(f, "{name:<24} {:>9} {bytes:>8} {:>6.1}", "", share(bytes))?;
            }
            write!(f, "\n{:>8}  {:<14} function", "bytes", "of")?;
            for Function { name, owner, bytes } in self.functions.iter().take(LARGEST) {
                let name: String = name.chars().take(NAME_WIDTH).collect();
                write!(f, "\n{bytes:>8}  {:<14} {name}", owner.name())?;
            }
            Ok(())
        })
    }
}

/// `  rooms 210.3 KB: config 60.1, export 40.2, 9 others 30.0`
fn write_line(f: &mut fmt::Formatter<'_>, what: &str, owners: &[(&Owner, Total)]) -> fmt::Result {
    let sum = |owners: &[(&Owner, Total)]| kilobytes(owners.iter().map(|(_, total)| total.bytes).sum());
    let (named, others) = owners.split_at(owners.len().min(NAMED));
    let mut parts: Vec<String> =
        named.iter().map(|(owner, total)| format!("{} {}", owner.name(), kilobytes(total.bytes))).collect();
    if !others.is_empty() {
        parts.push(format!("{} others {}", others.len(), sum(others)));
    }
    writeln!(f, "  {what} {} KB: {}", sum(owners), parts.join(", "))
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1000.0)
}

/// The length of a body stands before it as LEB128, seven bits a byte.
fn with_its_length(body: usize) -> usize {
    let bits = (usize::BITS - body.leading_zeros()).max(1);
    body + bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        CodeSection, ConstExpr, DataSection, EntityType, Function as Body, FunctionSection, ImportSection, Instruction,
        MemorySection, MemoryType, Module, NameMap, NameSection, TypeSection,
    };

    use super::*;

    /// `nop`, one byte.
    const NOP: u8 = 0x01;

    /// A module that imports a function and has these, each of as many `nop`s, and 100 bytes of data.
    fn module(functions: &[(&str, usize)]) -> Vec<u8> {
        let (mut types, mut imports, mut declared, mut memories) =
            (TypeSection::new(), ImportSection::new(), FunctionSection::new(), MemorySection::new());
        types.ty().function([], []);
        imports.import("env", "proxy_log", EntityType::Function(0));
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let (mut code, mut names) = (CodeSection::new(), NameMap::new());
        names.append(0, "proxy_log");
        for (index, (name, nops)) in (1..).zip(functions) {
            declared.function(0);
            names.append(index, name);
            let mut body = Body::new([]);
            body.raw(vec![NOP; *nops]).instruction(&Instruction::End);
            code.function(&body);
        }
        let (mut data, mut section) = (DataSection::new(), NameSection::new());
        data.active(0, &ConstExpr::i32_const(1024), [7; 100]);
        section.functions(&names);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&declared).section(&memories);
        module.section(&code).section(&data).section(&section);
        module.finish()
    }

    const FUNCTIONS: [(&str, usize); 5] = [
        ("_ZN9tracelift4span5build5build17h0123456789abcdefE", 200),
        ("_ZN9tracelift4span4name4name17h0123456789abcdefE", 10),
        ("_ZN10serde_json2de5parse17h0123456789abcdefE", 100),
        ("proxy_on_log", 5),
        ("memcpy", 0),
    ];

    #[test]
    fn each_byte_of_a_module_is_counted_once() {
        let module = module(&FUNCTIONS);
        let sizes = Sizes::of(&module).unwrap();
        assert_eq!(sizes.total(), module::without_names(&module).unwrap().len());
        let owners: Vec<_> = sizes
            .owners()
            .into_iter()
            .map(|(owner, total)| (owner.name().to_owned(), total.functions, total.bytes))
            .collect();
        // A body has two bytes beside its `nop`s, and one or two before it that say its length.
        let expected = [("span", 2, 204 + 13), ("serde_json", 1, 103), ("callbacks", 1, 8), ("libc", 1, 3)];
        assert_eq!(owners, expected.map(|(name, functions, bytes)| (name.to_owned(), functions, bytes)));
        assert!((100..120).contains(&sizes.data), "{}", sizes.data);
    }

    #[test]
    fn a_build_reports_rooms_libraries_and_data_in_three_lines() {
        let report = Sizes::of(&module(&FUNCTIONS)).unwrap().short().to_string();
        let lines: Vec<&str> = report.lines().collect();
        assert_eq!(lines[0], "  rooms 0.2 KB: span 0.2, callbacks 0.0");
        assert_eq!(lines[1], "  libraries 0.1 KB: serde_json 0.1, libc 0.0");
        assert!(lines[2].starts_with("  data 0.1 KB, other sections 0.1 KB"), "{report}");

        let many: Vec<_> = (0..9).map(|room| format!("tracelift::room{room}::f")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 996)).collect();
        let report = Sizes::of(&module(&many)).unwrap().short().to_string();
        assert!(report.contains("rooms 9.0 KB: room0 1.0, "), "{report}");
        assert!(report.contains(", room5 1.0, 3 others 3.0\n"), "{report}");
    }

    #[test]
    fn the_whole_report_adds_up_and_names_the_largest_functions() {
        let module = module(&FUNCTIONS);
        let report = Sizes::of(&module).unwrap().whole().to_string();
        let bytes = |line: &str| line.split_whitespace().rev().nth(1).and_then(|word| word.parse::<usize>().ok());
        let rows: Vec<usize> = report.lines().take_while(|line| !line.is_empty()).filter_map(bytes).collect();
        let (all, parts) = rows.split_last().unwrap();
        assert_eq!(parts.iter().sum::<usize>(), *all);
        let functions: Vec<&str> = report.lines().skip_while(|line| !line.is_empty()).skip(2).collect();
        assert_eq!(functions.len(), FUNCTIONS.len());
        assert!(functions[0].ends_with("tracelift::span::build::build"), "{report}");
        assert!(functions[4].ends_with("memcpy"), "{report}");
    }

    #[test]
    fn a_module_without_names_is_refused() {
        let unnamed = module::without_names(&module(&FUNCTIONS)).unwrap();
        assert!(Sizes::of(&unnamed).is_err());
    }
}
