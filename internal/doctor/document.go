package doctor

import (
	"fmt"
	"strings"
)

// Troubleshooting is the table as a document: docs/troubleshooting.md is this text.
func Troubleshooting() string {
	var b strings.Builder
	b.WriteString(`# Troubleshooting

` + "`shiftgrant doctor`" + ` walks the way from the configuration to a row of a warehouse and names the link
that is broken ([docs/doctor.md](doctor.md) shows how). This page is the table that it does so by,
written from its source: every link, how it is tried, and every cause with its remedy. Words in
braces, such as {role}, are those of your configuration; doctor fills them in. {trust_policy},
{permissions}, {own_permissions} and {actor_policy} are whole documents for the chain at hand, as
[connect your AWS account](connect-your-aws.md) explains them. A warehouse has the links that its
[chain](chains.md) goes by.

Begin with the first ✗: what lies behind it is not tried. A cause marked "!" leaves the link in use.

`)
	for _, part := range []struct {
		title string
		links []Link
	}{
		{"The gateway", GatewayLinks()}, {"Each identity provider where people sign in", UpstreamLinks()}, {"Each warehouse", WarehouseLinks()},
	} {
		fmt.Fprintf(&b, "## %s\n\n", part.title)
		for _, l := range part.links {
			l.document(&b)
		}
	}
	return b.String()
}

func (l *Link) document(b *strings.Builder) {
	fmt.Fprintf(b, "### %s: %s\n\n", l.Name, l.Title)
	fmt.Fprintf(b, "Doctor %s, within %s.", l.Tries, l.Limit)
	switch {
	case len(l.NeedsOne) > 0:
		fmt.Fprintf(b, " It lies behind %s, whichever goes.", strings.Join(l.NeedsOne, " or "))
	case len(l.Needs) > 0:
		fmt.Fprintf(b, " It lies behind %s.", strings.Join(l.Needs, ", "))
	}
	b.WriteString("\n\n| cause | | what to do |\n|---|---|---|\n")
	for _, c := range l.Causes {
		name := c.Name
		if c.Weak {
			name += " (!)"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, cell(c.What), cell(c.Remedy))
	}
	b.WriteString("\n")
}

// cell keeps the lines of a text apart within a table.
func cell(text string) string { return strings.NewReplacer("|", "\\|", "\n", "<br>").Replace(text) }
