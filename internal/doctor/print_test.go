package doctor_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
)

// Somebody who waits sees for what, and nothing of it stays on the screen.
func TestSlowLinksShowThatTheyAreTried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes time.Duration
		want  string
	}{
		"slow":  {time.Second, "  … AWS STS (up to 15s)\r\x1b[K"},
		"quick": {time.Millisecond, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out, progress bytes.Buffer
				p := &doctor.Printer{Out: &out, Progress: &progress}
				p.Started("AWS STS", 15*time.Second)
				time.Sleep(c.takes)
				synctest.Wait()
				p.Ended(doctor.Result{Link: "sts", Of: "sales", State: doctor.Whole, Found: "it answers"})
				if progress.String() != c.want || out.String() != "warehouse sales\n  ✓ sts            it answers\n" {
					t.Errorf("progress %q, output %q", progress.String(), out.String())
				}
			})
		})
	}
}

// A remedy is read from the terminal, and pasted from there: no step is broken up or runs into the next.
func TestStepsOfARemedyAreLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &doctor.Printer{Out: &out}
	p.Ended(doctor.Result{Link: "role", Of: "sales", State: doctor.Broken, Found: "it does not trust", Mend: "look: `aws iam get-role`\nand then: `aws iam update-role`", Detail: "AccessDenied"})
	const want = "warehouse sales\n" +
		"  ✗ role           it does not trust\n" +
		"                   → look: `aws iam get-role`\n" +
		"                     and then: `aws iam update-role`\n" +
		"                     (AccessDenied)\n"
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

func TestSummaryCounts(t *testing.T) {
	t.Parallel()
	links := func(states ...doctor.State) *doctor.Report {
		r := &doctor.Report{}
		for _, s := range states {
			r.Links = append(r.Links, doctor.Result{State: s})
		}
		return r
	}
	for _, c := range []struct {
		report *doctor.Report
		want   string
	}{
		{links(doctor.Whole), "1 link: 1 hold"},
		{links(doctor.Whole, doctor.Weak), "2 links: 2 hold (1 with a remark)"},
		{links(doctor.Whole, doctor.Broken, doctor.Skipped), "3 links: 1 hold, 1 is broken, 1 not tried"},
		{links(doctor.Broken, doctor.Broken), "2 links: 0 hold, 2 are broken"},
	} {
		if got := c.report.Summary(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
