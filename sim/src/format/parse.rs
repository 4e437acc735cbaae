//! Parses the text of a test: first lines and sections, then the steps when all names are known.

use ifq_model::test::{ScheduleOrder, Step, Test, Thread, VarId, limits};

use super::cursor::{Cursor, is_mark};
use super::error::{ParseError, Problem};
use super::header::Header;
use super::lex::{self, Token, TokenLine};
use super::mistakes;
use super::place::{Place, Section};
use super::step::{Scope, bound, read_step};
use super::switch::{SWITCH, is_switch};
use super::validate::validate;
use super::words::{HEADERS, SECTIONS, one_of, unknown, verbs};

/// Parses a test. `name` names the text in errors, such as a path.
///
/// Time is linear in the length of the text, except for the lookup of names.
///
/// # Errors
///
/// The first syntax or validation error.
pub fn parse(name: &str, text: &str) -> Result<Test, ParseError> {
    FileReader::read(text).map_err(|problem| ParseError::new(name, text, problem))
}

/// The lines read so far.
struct FileReader<'t> {
    header: Header<'t>,
    /// The section that the next steps belong to.
    section: Option<Section>,
    setup: Option<Vec<TokenLine<'t>>>,
    threads: Vec<Vec<TokenLine<'t>>>,
    finally: Option<Vec<TokenLine<'t>>>,
    /// The lines of the schedule in words.
    switches: Vec<TokenLine<'t>>,
    /// The next lines belong to the schedule.
    in_schedule: bool,
}

impl<'t> FileReader<'t> {
    fn read(text: &'t str) -> Result<Test, Problem> {
        let mut file = FileReader {
            header: Header::new(text),
            section: None,
            setup: None,
            threads: Vec::new(),
            finally: None,
            switches: Vec::new(),
            in_schedule: false,
        };
        let mut start = 0;
        for raw in text.split_inclusive('\n') {
            let content = raw.strip_suffix('\n').unwrap_or(raw);
            let content = content.strip_suffix('\r').unwrap_or(content);
            file.line(lex::line(content, start)?)?;
            start += raw.len();
        }
        file.finish(text.len())
    }

    fn line(&mut self, line: TokenLine<'t>) -> Result<(), Problem> {
        let Some(first) = line.tokens.first() else { return Ok(()) };
        let word = first.text;
        if !self.header.started() && word != "test" {
            let message = format!("the file starts with `{word}`");
            return Err(Problem::new(first.span.clone(), message, "`test NAME`"));
        }
        mistakes::separator(&line)?;
        if self.in_schedule && is_switch(&line) {
            return self.switch(line);
        }
        self.in_schedule &= !HEADERS.contains(&word) && !SECTIONS.contains(&word);
        if self.in_schedule {
            return Err(Problem::new(line.end..line.end, "no `until` in a line of the schedule", SWITCH));
        }
        if HEADERS.contains(&word) {
            self.section = None;
            self.header.line(&line)?;
            let switches = self.header.test.schedule.as_ref().and_then(|s| s.switches());
            self.in_schedule = word == "schedule" && switches.is_some();
            Ok(())
        } else if SECTIONS.contains(&word) {
            self.open(&line)
        } else {
            self.step(line)
        }
    }

    /// Starts a section.
    fn open(&mut self, line: &TokenLine<'t>) -> Result<(), Problem> {
        let mut cursor = Cursor::new(line);
        let word = cursor.word("a section")?;
        let twice = || {
            let message = format!("a second section `{}`", word.text);
            Problem::new(word.span.clone(), message, "each section once")
        };
        self.section = Some(match word.text {
            "setup" if self.setup.is_some() => return Err(twice()),
            "finally" if self.finally.is_some() => return Err(twice()),
            "setup" => {
                self.setup = Some(Vec::new());
                Section::Setup
            }
            "finally" => {
                self.finally = Some(Vec::new());
                Section::Finally
            }
            _ => {
                let name = cursor.word("the thread's name")?;
                Section::Thread(self.thread(name)?)
            }
        });
        cursor.finish("the end of the line")
    }

    fn thread(&mut self, name: &Token<'t>) -> Result<usize, Problem> {
        let number = self.threads.len();
        if number == limits::THREADS {
            let message = format!("more than {} threads", limits::THREADS);
            return Err(Problem::new(name.span.clone(), message, "fewer threads"));
        }
        self.threads.push(Vec::new());
        self.header.note(Place::Thread(number), name.span.clone());
        let thread = Thread { name: name.text.to_owned(), steps: Vec::new() };
        self.header.test.threads.push(thread);
        Ok(number)
    }

    /// Stores a line of the schedule until all names are known.
    fn switch(&mut self, line: TokenLine<'t>) -> Result<(), Problem> {
        if self.switches.len() == limits::STEPS {
            let message = format!("more than {} lines in the schedule", limits::STEPS);
            return Err(Problem::new(line.tokens[0].span.clone(), message, "fewer lines"));
        }
        self.switches.push(line);
        Ok(())
    }

    /// Stores a step until all names are known.
    fn step(&mut self, line: TokenLine<'t>) -> Result<(), Problem> {
        let first = &line.tokens[0];
        let marked = line.tokens.get(1).is_some_and(|t| matches!(t.text, ":" | "="));
        if !marked && !verbs().any(|verb| verb == first.text) {
            mistakes::missing_colon(&line.tokens)?;
            let known = || HEADERS.into_iter().chain(SECTIONS).chain(verbs());
            let message = match first.text {
                mark if is_mark(mark) => format!("unexpected `{mark}`"),
                word => unknown("word", word, known()),
            };
            let heads = one_of(HEADERS.into_iter().chain(SECTIONS));
            let expected = match self.section {
                None => heads,
                Some(_) => format!("a step, or {heads}"),
            };
            return Err(Problem::new(first.span.clone(), message, expected));
        }
        let steps = match self.section {
            Some(Section::Setup) => self.setup.as_mut(),
            Some(Section::Finally) => self.finally.as_mut(),
            Some(Section::Thread(i)) => self.threads.get_mut(i),
            None => None,
        };
        let Some(steps) = steps else {
            let expected = "`setup`, `thread NAME` or `finally` before it";
            return Err(Problem::new(first.span.clone(), "a step outside a section", expected));
        };
        if steps.len() == limits::STEPS {
            let message = format!("more than {} steps in a section", limits::STEPS);
            return Err(Problem::new(first.span.clone(), message, "fewer steps"));
        }
        steps.push(line);
        Ok(())
    }

    /// Reads the steps after all names are known, and validates the test.
    fn finish(self, end: usize) -> Result<Test, Problem> {
        let FileReader { mut header, setup, threads, finally, switches, .. } = self;
        if !header.started() {
            return Err(Problem::new(end..end, "an empty file", "`test NAME`"));
        }
        let setup = setup.unwrap_or_default();
        let finally = finally.unwrap_or_default();
        let mut scope = header.scope();
        let lines = setup.iter().chain(threads.iter().flatten()).chain(&finally);
        let mut bound_names = Vec::new();
        for name in lines.filter_map(bound) {
            let var = new_var(bound_names.len(), name)?;
            scope.vars.entry(name.text).or_insert(var);
            bound_names.push(name);
        }
        for (i, name) in bound_names.iter().enumerate() {
            header.var(i, name);
        }
        let mut steps = SectionReader { header: &mut header, scope: &scope, bound: 0 };
        let setup = steps.section(Section::Setup, &setup)?;
        let mut bodies = Vec::new();
        for (i, lines) in threads.iter().enumerate() {
            bodies.push(steps.section(Section::Thread(i), lines)?);
        }
        let finally = steps.section(Section::Finally, &finally)?;
        header.observe(&scope)?;
        header.conditions(&scope)?;
        header.test.setup = setup;
        header.test.finally = finally;
        for (thread, steps) in header.test.threads.iter_mut().zip(bodies) {
            thread.steps = steps;
        }
        let lines = switches.iter().enumerate();
        let lines = lines.map(|(i, line)| header.switch(line, i)).collect::<Result<Vec<_>, _>>()?;
        if let Some(ScheduleOrder::Switches(all)) =
            header.test.schedule.as_mut().map(|schedule| &mut schedule.order)
        {
            *all = lines;
        }
        match validate(&header.test) {
            Ok(()) => Ok(header.test),
            Err(e) => Err(Problem::new(header.span(e.place(), end), e.message(), e.expected())),
        }
    }
}

/// The number of the next bound name.
fn new_var(count: usize, name: &Token<'_>) -> Result<VarId, Problem> {
    match VarId::try_from(count) {
        Ok(var) if count < limits::VARS => Ok(var),
        _ => {
            let message = format!("more than {} bound names", limits::VARS);
            Err(Problem::new(name.span.clone(), message, "fewer names"))
        }
    }
}

/// Reads the steps of one section after the other.
struct SectionReader<'a, 't> {
    header: &'a mut Header<'t>,
    scope: &'a Scope<'t>,
    /// How many names have been bound.
    bound: VarId,
}

impl<'t> SectionReader<'_, 't> {
    fn section(&mut self, section: Section, lines: &[TokenLine<'t>]) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::with_capacity(lines.len());
        for (i, line) in lines.iter().enumerate() {
            let (mut step, parts) = read_step(line, self.scope)?;
            for (part, span) in parts {
                self.header.note(Place::Step(section, i, part), span);
            }
            // A name that is bound twice gets two numbers; `validate` reports it.
            if let Some(bind) = &mut step.bind {
                *bind = self.bound;
                self.bound += 1;
                self.header.test.vars[usize::from(*bind)].kind = step.op.yields();
            }
            steps.push(step);
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use ifq_model::test::VarKind;

    use super::*;

    /// The shortest valid test.
    const SHORTEST: &str = "test t\nrevision import-7.3\nring A\nexpect holds\n";

    #[test]
    fn the_shortest_test_is_read() {
        let test = parse("t.ifq", SHORTEST).unwrap();
        assert_eq!((test.name.as_str(), test.rings.as_slice()), ("t", &["A".to_owned()][..]));
        assert!(test.steps().next().is_none());
    }

    #[test]
    fn names_are_numbered_by_section_and_not_by_line() {
        let text = format!("{SHORTEST}finally\n z = A: exit\nsetup\n y = A: exit\n");
        let test = parse("t.ifq", &text).unwrap();
        let names: Vec<&str> = test.vars.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["y", "z"]);
        assert_eq!(test.vars[0].kind, VarKind::Status);
        assert_eq!(test.observe, [0, 1]);
    }

    #[test]
    fn crlf_line_ends_are_read() {
        let text = SHORTEST.replace('\n', "\r\n");
        assert_eq!(parse("t.ifq", &text).unwrap(), parse("t.ifq", SHORTEST).unwrap());
    }

    #[test]
    fn an_error_of_the_validation_has_the_line_and_column_of_the_part() {
        let text = format!("{SHORTEST}thread a\n c = A: wait\n A: flush c\n");
        let error = parse("t.ifq", &text).unwrap_err();
        assert_eq!((error.line(), error.column()), (7, 11));
    }
}
