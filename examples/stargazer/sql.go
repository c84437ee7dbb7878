package stargazer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

const (
	askTimeout = 2 * time.Minute // how long a person is kept waiting for one answer
	rowsShown  = 500
	sqlLimit   = 100 << 10 // bytes of one question
)

// sample queries, in the order shown. The last is refused to those who may not see the money.
var samples = []sample{
	{
		ID: "events", Title: "Top events", About: "The ten that earned the most", SQL: `select e.eventname, sum(s.pricepaid) as revenue
from tickit.sales s
join tickit.event e on e.eventid = s.eventid
group by e.eventname
order by revenue desc
limit 10`,
	},
	{
		ID: "months", Title: "Sales by month", About: "A line through the year", SQL: `select date_trunc('month', s.saletime)::date as month, sum(s.pricepaid) as revenue
from tickit.sales s
group by 1
order by 1`,
	},
	{
		ID: "categories", Title: "Tickets by category", About: "What people go to see", SQL: `select c.catname as category, sum(s.qtysold) as tickets
from tickit.sales s
join tickit.event e on e.eventid = s.eventid
join tickit.category c on c.catid = e.catid
group by c.catname
order by tickets desc`,
	},
	{
		ID: "stages", Title: "Stages of each state", About: "LISTAGG, as Redshift has it", SQL: `select venuestate as state, count(*) as venues,
       listagg(venuename, ', ') within group (order by venuename) as names
from tickit.venue
group by venuestate
order by venues desc, state
limit 12`,
	},
	{
		ID: "commission", Title: "The commission ledger", About: "Finance only: may be refused", SQL: `select month, sum(commission) as commission
from finance.commission_ledger
group by month
order by month`,
	},
}

type sample struct{ ID, Title, About, SQL string }

// A question is the page on which one is asked, with its answer or why there is none.
type question struct {
	Name         string
	DatabaseUser string // who the person is in Redshift; empty while that is not known
	SQL          string
	Samples      []sample
	Result       *result
	Refusal      *refusal
}

// A result is an answer, as the page shows it.
type result struct {
	Columns []column
	Rows    [][]cell
	Chart   *chart
	Elapsed string
	Cut     string // why this is not everything; empty when it is
}

type column struct{ Name, Type string }

type cell struct {
	Text   string
	Null   bool
	Number bool
}

// ask shows the empty question.
func (a *app) ask(w http.ResponseWriter, r *http.Request, session *connect.Session) {
	a.showQuestion(w, r, session, question{SQL: samples[0].SQL}, nil)
}

// answer runs the question and shows it again, with what came of it.
func (a *app) answer(w http.ResponseWriter, r *http.Request, session *connect.Session) {
	r.Body = http.MaxBytesReader(w, r.Body, sqlLimit)
	if err := r.ParseForm(); err != nil {
		a.say(w, http.StatusRequestEntityTooLarge, message{
			Title: "That is a long question", What: "Stargazer takes up to 100 kB of SQL. Nothing was run.",
			Link: &link{"Ask a shorter one", "/ask"},
		})
		return
	}
	q := question{SQL: r.PostForm.Get("sql")}
	if i := slices.IndexFunc(samples, func(s sample) bool { return s.ID == r.PostForm.Get("sample") }); i >= 0 {
		q.SQL = samples[i].SQL
	}
	a.showQuestion(w, r, session, q, func(ctx context.Context) (*result, error) {
		if strings.TrimSpace(q.SQL) == "" {
			return nil, errNothingAsked
		}
		return run(ctx, session, q.SQL)
	})
}

var errNothingAsked = errors.New("no SQL")

// showQuestion asks Redshift who the person is there, and their question beside it, so that
// the one does not wait for the other.
func (a *app) showQuestion(w http.ResponseWriter, r *http.Request, session *connect.Session, q question, ask func(context.Context) (*result, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	var whoErr, askErr error
	var both sync.WaitGroup
	both.Go(func() { q.DatabaseUser, whoErr = databaseUser(ctx, session) })
	if ask != nil {
		both.Go(func() { q.Result, askErr = ask(ctx) })
	}
	both.Wait()
	if errors.Is(whoErr, connect.ErrSignedOut) || errors.Is(askErr, connect.ErrSignedOut) {
		a.ended(w)
		return
	}
	q.Name, q.Samples = session.Identity().Name, samples
	status := http.StatusOK
	if err := cmp.Or(askErr, whoErr); err != nil {
		a.logger.Info("no answer", "error", err)
		status, q.Refusal = refusalOf(err, q.DatabaseUser)
	}
	a.show(w, status, "ask", view{Title: "Ask the warehouse", Person: q.Name, Page: q})
}

// databaseUser is who the person is in Redshift, from Redshift itself.
func databaseUser(ctx context.Context, session *connect.Session) (string, error) {
	answer, err := run(ctx, session, "select current_user")
	if err != nil {
		return "", err
	}
	if len(answer.Rows) != 1 || len(answer.Rows[0]) != 1 {
		return "", errors.New("select current_user did not give one value")
	}
	return answer.Rows[0][0].Text, nil
}

// run asks one question and keeps as many rows as a page can show. Closing the rows early tells
// Redshift to stop.
func run(ctx context.Context, session *connect.Session, sql string) (*result, error) {
	started, answer := time.Now(), &result{}
	// snippet: query
	rows, err := session.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for _, c := range rows.Columns() {
		answer.Columns = append(answer.Columns, column{c.Name, c.Type})
	}
	for len(answer.Rows) < rowsShown && rows.Next() {
		answer.Rows = append(answer.Rows, cells(answer.Columns, rows.Values()))
	}
	if len(answer.Rows) == rowsShown && rows.Next() {
		answer.Cut = fmt.Sprintf("These are the first %d rows. Add a limit or a condition to see others.", rowsShown)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	// end: query
	answer.Chart = chartOf(answer.Columns, answer.Rows)
	answer.Elapsed = elapsed(time.Since(started))
	return answer, nil
}

// Number reports whether a column holds numbers, which stand best at the right.
func (c column) Number() bool {
	switch c.Type {
	case "smallint", "integer", "bigint", "real", "double precision", "numeric":
		return true
	}
	return false
}

// isDate reports whether a column holds days or moments, in a form that sorts as text.
func (c column) isDate() bool { return c.Type == "date" || strings.HasPrefix(c.Type, "timestamp") }

// cells makes one row fit for the page.
func cells(columns []column, values []any) []cell {
	row := make([]cell, len(values))
	for i, value := range values {
		row[i].Number = columns[i].Number()
		if value == nil {
			row[i].Null = true
			continue
		}
		row[i].Text = fmt.Sprint(value)
	}
	return row
}

func elapsed(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
