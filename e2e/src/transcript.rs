//! Pages whose fences say what to type and what comes then, as `docs/tour`: read, run in one shell, compared.
//!
//! In a fence of the kind `console`, a line that begins with `$ ` is typed, with those that begin with `> ` after it; the others are
//! printed. `…` stands for any text within a line, and alone on a line for any lines.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// What is typed, and what is printed then.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The page and the line, for whoever mends it.
    pub place: String,
    /// Several lines where it is continued.
    pub typed: String,
    /// The lines that follow.
    pub printed: Vec<String>,
}

/// Between what two steps print.
const MARK: &str = "==== end of step ";
const FENCE: &str = "```console";

/// All steps of a page.
pub fn steps(page: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == FENCE;
        } else if !inside {
        } else if let Some(typed) = line.strip_prefix("$ ") {
            let place = format!("{page}:{}", index + 1);
            steps.push(Step { place, typed: typed.to_owned(), printed: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if step.printed.is_empty() => {
                    step.typed.push('\n');
                    step.typed.push_str(more);
                }
                _ => step.printed.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Runs `before`, then each page in a subshell of its own, by `shell` (which reads a script from its last argument); fails with every
/// step that printed something else.
pub async fn run(mut shell: Command, before: &str, pages: &[Vec<Step>], limit: Duration) -> Result<()> {
    let mut script = format!("exec 2>&1 </dev/null\n{before}\n");
    for page in pages {
        script.push_str("(\n");
        for step in page {
            // A step that fails is followed by those that show why.
            writeln!(script, "{}\nprintf '\\n{MARK}%s\\n' '{}'", step.typed, step.place)?;
        }
        script.push_str(")\n");
    }
    let file = tempfile::NamedTempFile::new().context("failed to make a script")?;
    std::fs::write(file.path(), script).context("failed to write the script")?;
    shell.arg(file.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = shell.spawn().context("failed to start a shell")?;
    let mut pipe = child.stdout.take().context("the shell has no output")?;
    let mut output = Vec::new();
    let late = tokio::time::timeout(limit, pipe.read_to_end(&mut output)).await.is_err();
    let output = String::from_utf8_lossy(&output);
    let all = pages.iter().flatten();
    let reached = all.clone().take_while(|step| output.contains(&mark(step)));
    let mut wrong: Vec<String> = reached.clone().filter_map(|step| complaint(step, &output)).collect();
    if let Some(step) = all.clone().nth(reached.count()) {
        let why = if late { format!("not done after {} s in all", limit.as_secs()) } else { "not reached".to_owned() };
        wrong.push(format!("{}: {why}\n$ {}\nit printed:\n{}\n", step.place, step.typed, printed(&output)));
    }
    ensure!(wrong.is_empty(), "{} steps went wrong:\n\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Stands behind what a step prints.
fn mark(step: &Step) -> String {
    format!("{MARK}{}\n", step.place)
}

/// What stands behind the last mark.
fn printed(output: &str) -> &str {
    let start = output.rfind(MARK).and_then(|at| Some(at + output[at..].find('\n')? + 1)).unwrap_or(0);
    output[start..].trim_end()
}

/// What is wrong with what a step printed.
fn complaint(step: &Step, output: &str) -> Option<String> {
    let end = output.find(&mark(step))?;
    let printed: Vec<&str> = printed(&output[..end]).lines().map(str::trim_end).collect();
    let wanted: Vec<&str> = step.printed.iter().map(|line| line.trim_end()).collect();
    let wanted = &wanted[..wanted.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1)];
    if matches_lines(wanted, &printed) {
        return None;
    }
    Some(format!(
        "{}: $ {}\nthe page says:\n{}\nit printed:\n{}\n",
        step.place,
        step.typed,
        wanted.join("\n"),
        printed.join("\n")
    ))
}

fn matches_lines(wanted: &[&str], printed: &[&str]) -> bool {
    match wanted.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skipped| matches_lines(rest, &printed[skipped..])),
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, others)| matches_line(first, line) && matches_lines(rest, others))
        }
    }
}

fn matches_line(wanted: &str, printed: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "Text.\n```console\n$ echo one; echo two\none\ntwo\n$ printf '%s\\n' \\\n> three\nthree\n```\n```\n$ not this\n```\n";

    fn shell() -> Command {
        Command::new("bash")
    }

    #[test]
    fn a_page_is_read_as_a_person_would() {
        let steps = steps("page", PAGE);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].typed.as_str(), steps[0].place.as_str()), ("echo one; echo two", "page:3"));
        assert_eq!(steps[0].printed, ["one", "two"]);
        assert_eq!(steps[1].typed, "printf '%s\\n' \\\nthree");
    }

    #[test]
    fn dots_stand_for_anything() {
        assert!(matches_line("a … c", "a b c") && matches_line("…", "") && matches_line("a…b…c", "axbyc"));
        assert!(!matches_line("a…b", "a") && !matches_line("a", "ab") && !matches_line("a…a", "a"));
        assert!(matches_lines(&["a", "…", "c"], &["a", "c"]) && matches_lines(&["…"], &[]));
        assert!(!matches_lines(&["a"], &["a", "b"]) && !matches_lines(&["a", "…", "c"], &["a", "b"]));
    }

    #[tokio::test]
    async fn what_is_printed_is_compared_and_the_step_is_named() {
        let limit = Duration::from_secs(30);
        run(shell(), "", &[steps("page", PAGE)], limit).await.unwrap();
        let wrong = PAGE.replace("\ntwo\n", "\n2\n");
        let error = run(shell(), "", &[steps("page", &wrong)], limit).await.unwrap_err().to_string();
        assert!(
            error.contains("1 steps went wrong") && error.contains("page:3") && error.contains("it printed:\none\ntwo"),
            "{error}"
        );
        let ends = PAGE.replace("echo one; echo two", "exit");
        let error = run(shell(), "", &[steps("page", &ends)], limit).await.unwrap_err().to_string();
        assert!(error.contains("page:3: not reached"), "{error}");
    }
}
