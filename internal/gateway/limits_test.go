package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/warehouse"
)

func TestEveryLimitHasADefaultAndIsInTheMetrics(t *testing.T) {
	t.Parallel()
	limits := Limits{QueueWait: Duration(1500 * time.Millisecond)}
	if err := limits.check(); err != nil {
		t.Fatal(err)
	}
	m := newMetrics("test")
	m.showLimits(limits, func() warehouse.Usage { return warehouse.Usage{Running: 3, Background: 2, Sessions: 5, People: 1} })
	recorder := httptest.NewRecorder()
	m.handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	shown := recorder.Body.String()
	for name, value := range limits.numbers() {
		if value == 0 && name != "rows_per_statement" { // which has none, on purpose
			t.Errorf("limits.%s has no default", name)
		}
		if !strings.Contains(shown, `shiftgrant_limit{name="`+name+`"} `) {
			t.Errorf("limits.%s is not in the metrics", name)
		}
	}
	for _, line := range []string{
		`shiftgrant_limit{name="queue_wait"} 1.5`, "shiftgrant_statements_running 3", "shiftgrant_statements_background 2",
		"shiftgrant_warehouse_sessions 5", "shiftgrant_people_running 1",
	} {
		if !strings.Contains(shown, line+"\n") {
			t.Errorf("metrics have no line %q", line)
		}
	}
}

func TestLimitsAndProxiesThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	negative := Limits{StatementsPerPerson: -1}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a negative limit":       {negative.check(), "limits.statements_per_person"},
		"a proxy by name":        {proxyError("proxy.example"), "trusted_proxies[0]"},
		"everybody":              {proxyError("0.0.0.0/0"), "trusted_proxies[0]"},
		"everybody, the new way": {proxyError("10.0.0.1", "::/0"), "trusted_proxies[1]"},
	} {
		var fault *keyError
		if !errors.As(c.err, &fault) || !strings.HasPrefix(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want a fault of %s", name, c.err, c.want)
		}
	}
	if err := proxyError("10.0.0.1", "192.168.0.0/16", "2001:db8::/48"); err != nil {
		t.Error(err)
	}
}

func proxyError(networks ...string) error {
	_, err := (&Config{TrustedProxies: networks}).proxies()
	return err
}
