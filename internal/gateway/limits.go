package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// check gives each limit that is not given its default, and refuses what would be none.
func (l *Limits) check() error {
	setDefault(&l.StatementTimeout, Duration(30*time.Minute))
	setDefault(&l.StatementsPerPerson, 10)
	setDefault(&l.StatementsPerPersonMinute, 6000)
	setDefault(&l.StatementsPerWarehouse, 200)
	setDefault(&l.QueueWait, Duration(5*time.Second))
	setDefault(&l.SpoolBytesPerStatement, 4<<30)
	setDefault(&l.SpoolBytes, 16<<30)
	setDefault(&l.SpoolStatementsPerPerson, 100)
	setDefault(&l.SpoolStatements, 1000)
	setDefault(&l.SpoolKeep, Duration(time.Hour))
	setDefault(&l.Sessions, 1000)
	setDefault(&l.SessionIdle, Duration(10*time.Minute))
	setDefault(&l.RequestBody, 1<<20)
	setDefault(&l.RequestHeader, 32<<10)
	setDefault(&l.HeaderTimeout, Duration(5*time.Second))
	setDefault(&l.RequestTimeout, Duration(time.Minute))
	setDefault(&l.ReaderPatience, Duration(time.Minute))
	setDefault(&l.DrainTime, Duration(30*time.Second))
	setDefault(&l.RequestsPerMinutePerAddress, 6000)
	setDefault(&l.TokenRequestsPerMinute, 600)
	setDefault(&l.FailedClientAuthPerHour, 60)
	for name, value := range l.numbers() {
		if value < 0 {
			return &keyError{"$.limits." + name, "not a limit: give a number from 1 on, or leave it out for the default"}
		}
	}
	return nil
}

// numbers are the limits by their names in the configuration; durations are in seconds.
func (l *Limits) numbers() map[string]float64 {
	numbers, fields := map[string]float64{}, reflect.ValueOf(*l)
	for i := range fields.NumField() {
		name, field := fields.Type().Field(i).Tag.Get("yaml"), fields.Field(i)
		if duration, ok := field.Interface().(Duration); ok {
			numbers[name] = time.Duration(duration).Seconds()
		} else {
			numbers[name] = float64(field.Int())
		}
	}
	return numbers
}

// proxies are those whose word on a caller's address is taken.
func (c *Config) proxies() (web.Proxies, error) {
	var proxies web.Proxies
	for i, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); addressErr == nil {
			network, err = address.Prefix(address.BitLen())
		}
		if err != nil || network.Bits() == 0 {
			return nil, &keyError{fmt.Sprintf("$.trusted_proxies[%d]", i), "give a network such as 10.0.0.0/8, or one address"}
		}
		proxies = append(proxies, network.Masked())
	}
	return proxies, nil
}

func (g *Gateway) limitAddresses(next http.Handler) http.Handler {
	proxies, err := g.config.proxies()
	if err != nil { // check has refused it
		proxies = nil
	}
	limiter := web.NewLimiter(g.config.Limits.RequestsPerMinutePerAddress, time.Minute)
	return web.LimitAddresses(limiter, proxies.CallerAddress, g.now, next)
}

// showLimits puts the limits into the metrics, beside how much there is at the moment.
func (m *metrics) showLimits(limits Limits, usage func() warehouse.Usage) {
	configured := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "shiftgrant_limit", Help: "The limits of the configuration, by name; durations in seconds. Requests over a limit are counted as status 429.",
	}, []string{"name"})
	for name, value := range limits.numbers() {
		configured.WithLabelValues(name).Set(value)
	}
	m.registry.MustRegister(configured)
	for name, gauge := range map[string]struct {
		help  string
		count func(warehouse.Usage) int
	}{
		"shiftgrant_statements_running":    {"Statements that wait for their turn or run.", func(u warehouse.Usage) int { return u.Running }},
		"shiftgrant_statements_background": {"Statements that no request waits for.", func(u warehouse.Usage) int { return u.Background }},
		"shiftgrant_warehouse_sessions":    {"Warehouse sessions in use or kept for the next request.", func(u warehouse.Usage) int { return u.Sessions }},
		"shiftgrant_people_running":        {"People who have statements.", func(u warehouse.Usage) int { return u.People }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: gauge.help}, func() float64 { return float64(gauge.count(usage())) }))
	}
}
