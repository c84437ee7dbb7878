package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man FOLDER",
		Short: "Write the man pages into a folder",
		Long: `Write the man pages of all commands into a folder, which is made if need be. They are made from the
commands' own help.`,
		Example: `  shiftgrant man /usr/local/share/man/man1
  shiftgrant man pages && man pages/shiftgrant-query.1`,
		Args: oneArgument("FOLDER"),
		RunE: func(command *cobra.Command, args []string) error {
			pages := manPages(command.Root())
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			for name, page := range pages {
				if err := os.WriteFile(filepath.Join(args[0], name), page, 0o644); err != nil {
					return fmt.Errorf("write man pages: %w", err)
				}
			}
			fmt.Fprintf(command.ErrOrStderr(), "%d man pages are in %s.\n", len(pages), args[0])
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
}

// manPages are the pages of a command and all beneath it, by their file names.
func manPages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	var walk func(*cobra.Command)
	walk = func(command *cobra.Command) {
		if command.Name() == "help" || command.Hidden || command.IsAdditionalHelpTopicCommand() && !command.HasSubCommands() {
			return // topics are sections of each page
		}
		pages[manName(command)+".1"] = manPage(command)
		for _, beneath := range command.Commands() {
			walk(beneath)
		}
	}
	walk(root)
	return pages
}

func manName(command *cobra.Command) string {
	return strings.ReplaceAll(command.CommandPath(), " ", "-")
}

// manPage is one page in the man macros, with the sections in the order of man-pages(7).
func manPage(command *cobra.Command) []byte {
	p := &roff{}
	p.line(".TH %s 1 %q %q", strings.ToUpper(roffText(manName(command))), buildDay(), "shiftgrant "+roffText(buildVersion()))
	p.line(".nh\n.ad l") // no name is to be torn apart
	p.section("NAME")
	p.line("%s \\- %s", roffText(manName(command)), roffText(lowerFirst(command.Short)))
	p.section("SYNOPSIS")
	p.synopsis(command)
	p.section("DESCRIPTION")
	p.prose(cmp.Or(command.Long, command.Short+"."))
	p.options("OPTIONS", command.NonInheritedFlags())
	p.options("OPTIONS OF ALL SUBCOMMANDS", command.InheritedFlags())
	p.commands(command)
	if command.HasExample() {
		p.section("EXAMPLES")
		p.literal(strings.TrimRight(command.Example, "\n"))
	}
	p.terms("EXIT STATUS", exitCodes)
	p.terms("ENVIRONMENT", variables)
	p.terms("FILES", files)
	p.seeAlso(command)
	return p.Bytes()
}

// buildDay is the day of the source, so that the same source makes the same pages.
func buildDay() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.time" {
				day, _, _ := strings.Cut(setting.Value, "T")
				return day
			}
		}
	}
	return ""
}

func lowerFirst(text string) string {
	if len(text) > 1 && text[1] >= 'a' && text[1] <= 'z' {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

// A roff is a page that is being written.
type roff struct{ bytes.Buffer }

func (p *roff) line(format string, values ...any) { fmt.Fprintf(p, format+"\n", values...) }

func (p *roff) section(title string) { p.line(".SH %s", title) }

// text writes a line of text, which must not look like a request.
func (p *roff) text(text string) {
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	p.line("%s", text)
}

func (p *roff) synopsis(command *cobra.Command) {
	path := roffText(command.CommandPath())
	_, arguments, _ := strings.Cut(command.UseLine(), command.CommandPath())
	if command.HasAvailableSubCommands() {
		arguments = " COMMAND" + arguments
	}
	p.line(".B %s", path)
	if arguments = strings.TrimSpace(arguments); arguments != "" {
		p.text(roffText(arguments))
	}
}

// prose writes paragraphs; lines that are indented stay as they are.
func (p *roff) prose(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		if strings.HasPrefix(paragraph, " ") {
			p.literal(paragraph)
			continue
		}
		for line := range strings.Lines(paragraph) {
			p.text(roffProse(strings.TrimSuffix(line, "\n")))
		}
	}
}

func (p *roff) literal(text string) {
	p.line(".EX")
	for line := range strings.Lines(text) {
		p.text(roffText(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "  ")))
	}
	p.line(".EE")
}

func (p *roff) options(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		value, means := pflag.UnquoteUsage(flag)
		option := `\fB\-\-` + roffText(flag.Name) + `\fR`
		if flag.Shorthand != "" {
			option = `\fB\-` + flag.Shorthand + `\fR, ` + option
		}
		if value != "" {
			option += ` \fI` + roffText(value) + `\fR`
		}
		switch flag.DefValue {
		case "", "0", "0s", "[]", "false":
		default:
			means += " (default: " + flag.DefValue + ")"
		}
		p.line(".TP\n%s", option)
		p.text(roffProse(means))
	})
}

func (p *roff) commands(command *cobra.Command) {
	if !command.HasAvailableSubCommands() {
		return
	}
	p.section("COMMANDS")
	for _, beneath := range command.Commands() {
		if beneath.IsAvailableCommand() && beneath.Name() != "help" {
			p.line(".TP\n\\fB%s\\fR(1)", roffText(manName(beneath)))
			p.text(roffProse(beneath.Short + "."))
		}
	}
}

func (p *roff) terms(title string, lines []topicLine) {
	p.section(title)
	for _, line := range lines {
		p.line(".TP\n\\fB%s\\fR", roffText(line.word))
		p.text(roffProse(line.means))
	}
}

func (p *roff) seeAlso(command *cobra.Command) {
	var others []string
	if command.HasParent() {
		others = append(others, manName(command.Parent()))
		for _, sibling := range command.Parent().Commands() {
			if sibling != command && sibling.GroupID == command.GroupID && sibling.IsAvailableCommand() && sibling.Name() != "help" {
				others = append(others, manName(sibling))
			}
		}
	}
	if len(others) == 0 {
		return
	}
	p.section("SEE ALSO")
	for i, name := range others {
		end := ","
		if i == len(others)-1 {
			end = ""
		}
		p.line(".BR %s (1)%s", roffText(name), end)
	}
}

// roffText escapes what roff would make something else of: a hyphen that is typed, straight quotes.
var roffText = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace

// roffProse is roffText, with what is quoted by backticks in bold.
func roffProse(text string) string {
	parts := strings.Split(text, "`")
	if len(parts)%2 == 0 {
		return roffText(text)
	}
	var b strings.Builder
	for i, part := range parts {
		if i%2 == 1 {
			b.WriteString(`\fB` + roffText(part) + `\fR`)
		} else {
			b.WriteString(roffText(part))
		}
	}
	return b.String()
}
