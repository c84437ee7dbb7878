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
