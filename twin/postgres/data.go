package postgres

import (
	"strconv"
	"time"
)

// The sample data has the shape and the row counts of Redshift's TICKIT: people who list tickets
// for events, and people who buy them. The content is our own, and the same at every start.

const (
	userRows    = 49_990
	venueRows   = 202
	dateRows    = 365
	eventRows   = 8_798
	listingRows = 192_497
	salesRows   = 172_456
)

// firstDay of the one year that the data covers.
var firstDay = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// A table is rows that can be written.
type table struct {
	name string
	rows int
	row  func(i int, to *row)
}

type (
	venue struct {
		name, city, state string
		seats             int // 0: not known
		kind              int
	}
	event struct {
		name           string
		venue, cat     int
		day            int // of the year, from 0
		hour, quarters int
	}
	listing struct {
		event, seller, tickets int
		price                  int // of one ticket, in dollars
		at                     time.Duration
	}
	sample struct {
		venues   []venue
		events   []event
		listings []listing
	}
)

// A category with what makes its numbers believable.
type category struct {
	group, name, description string
	share                    uint64 // of the events, in percent
	price                    int    // of a usual ticket, in dollars
	kind                     int    // of venue
}

// Kinds of venue.
const (
	stage = iota
	arena
	hall
)

var categories = []category{
	{"Sports", "Baseball", "Major and minor league baseball", 7, 60, arena},
	{"Sports", "Hockey", "Ice hockey, league and cup games", 4, 75, arena},
	{"Sports", "Football", "American football", 3, 140, arena},
	{"Sports", "Basketball", "Basketball, regular season and play-offs", 6, 85, arena},
	{"Sports", "Soccer", "Soccer, league and friendly games", 5, 55, arena},
	{"Shows", "Musicals", "Musical theatre", 16, 120, stage},
	{"Shows", "Plays", "Theatre without music", 18, 70, stage},
	{"Shows", "Opera", "Opera and light opera", 6, 160, hall},
	{"Concerts", "Pop", "Rock and pop music", 22, 110, arena},
	{"Concerts", "Jazz", "Jazz, swing and blues", 6, 65, stage},
	{"Concerts", "Classical", "Symphonies, concertos and choirs", 7, 80, hall},
}

// random is SplitMix64: a few lines that give the same numbers in every version of Go.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) below(n int) int          { return int(r.next() % uint64(n)) }
func (r *random) between(from, to int) int { return from + r.below(to-from+1) }
func pick[T any](r *random, from []T) T    { return from[r.below(len(from))] }
func (r *random) smaller(n int) int        { return min(r.below(n), r.below(n)) }

func generate() *sample {
	s := &sample{}
	s.venues = makeVenues()
	s.events = makeEvents(s.venues)
	s.listings = makeListings(s.events)
	return s
}

func makeVenues() []venue {
	r := random(1)
	venues := make([]venue, venueRows)
	for i := range venues {
		place := cities[i%len(cities)]
		kind := [...]int{stage, arena, hall, stage}[i%4]
		v := venue{city: place.name, state: place.state, kind: kind}
		switch kind {
		case arena:
			v.name, v.seats = place.name+" "+pick(&r, arenaNames), r.between(160, 780)*100
		case hall:
			v.name, v.seats = pick(&r, namesakes)+" "+pick(&r, hallNames), r.between(12, 36)*100
		default:
			v.name = pick(&r, namesakes) + " " + pick(&r, stageNames)
			if r.below(3) > 0 { // of small houses the size is often not known
				v.seats = r.between(15, 160) * 10
			}
		}
		venues[i] = v
	}
	return venues
}

func makeEvents(venues []venue) []event {
	r := random(2)
	byKind := map[int][]int{}
	for i, v := range venues {
		byKind[v.kind] = append(byKind[v.kind], i)
	}
	events := make([]event, eventRows)
	for i := range events {
		cat := pickCategory(&r)
		c := categories[cat]
		e := event{cat: cat, venue: pick(&r, byKind[c.kind]), day: pickDay(&r, c.group)}
		e.name = eventName(&r, c, venues[e.venue])
		e.hour, e.quarters = pick(&r, []int{14, 15, 19, 19, 19, 20, 20}), r.below(3)
		events[i] = e
	}
	return events
}

func pickCategory(r *random) int {
	n := r.next() % 100
	for i, c := range categories {
		if n < c.share {
			return i
		}
		n -= c.share
	}
	return len(categories) - 1
}

// pickDay prefers weekends, and the season of what is on: concerts in summer, shows in winter.
// Nothing is on before the tenth of January, so that tickets can be sold beforehand.
func pickDay(r *random, group string) int {
	for {
		day := r.between(9, dateRows-1)
		weight := 45
		if weekday := firstDay.AddDate(0, 0, day).Weekday(); weekday == time.Friday || weekday == time.Saturday {
			weight += 35
		}
		if summer := day > 140 && day < 250; summer == (group == "Concerts") {
			weight += 20
		}
		if r.below(100) < weight {
			return day
		}
	}
}

func eventName(r *random, c category, v venue) string {
	switch c.name {
	case "Musicals":
		return pick(r, nouns) + pick(r, []string{"!", " on " + v.city + " Street", " and the " + pick(r, nouns), ": The Musical"})
	case "Plays":
		return pick(r, []string{"The ", "One ", "Our "}) + pick(r, adjectives) + " " + pick(r, nouns)
	case "Opera":
		return pick(r, operas)
	case "Pop":
		return pick(r, []string{"The ", "", ""}) + pick(r, adjectives) + " " + pick(r, nouns) + "s"
	case "Jazz":
		return pick(r, firstNames) + " " + pick(r, lastNames) + pick(r, []string{" Trio", " Quartet", " Big Band", ""})
	case "Classical":
		return v.city + " " + pick(r, []string{"Philharmonic", "Chamber Orchestra", "Choir"}) + ": " + pick(r, pieces)
	default:
		home, guest := v.city, pick(r, cities).name
		return home + " " + pick(r, mascots) + " vs. " + guest + " " + pick(r, mascots)
	}
}

func makeListings(events []event) []listing {
	r := random(3)
	listings := make([]listing, listingRows)
	for i := range listings {
		// Some events are sought after: the smaller of two numbers prefers the first ones.
		event := r.below(len(events))
		if r.below(3) == 0 {
			event = r.smaller(len(events))
		}
		e := events[event]
		c := categories[e.cat]
		listings[i] = listing{
			event:   event,
			seller:  1 + r.smaller(userRows),
			tickets: pick(&r, []int{1, 2, 2, 2, 3, 4, 4, 5, 6, 8}),
			price:   max(20, c.price*r.between(45, 210)/100+event%23),
			at:      time.Duration(max(0, e.day-7-r.smaller(110)))*24*time.Hour + time.Duration(r.below(24*60*60))*time.Second,
		}
	}
	return listings
}

func (s *sample) tables() []table {
	return []table{
		{"users", userRows, s.userRow()},
		{"venue", venueRows, s.venueRow},
		{"category", len(categories), s.categoryRow},
		{"date", dateRows, s.dateRow},
		{"event", eventRows, s.eventRow},
		{"listing", listingRows, s.listingRow},
		{"sales", salesRows, s.salesRow()},
	}
}

func (s *sample) userRow() func(int, *row) {
	r := random(4)
	const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	return func(i int, to *row) {
		first, last, place := pick(&r, firstNames), pick(&r, lastNames), pick(&r, cities)
		// An odd factor scatters the numbers without two becoming one.
		code := uint32(i+1) * 2654435761
		var name [8]byte
		for k := range name {
			name[k] = alphabet[code&31]
			code = code>>5 | code<<27
		}
		to.integer(i + 1)
		to.field(string(name[:]))
		to.field(first)
		to.field(last)
		to.field(place.name)
		to.field(place.state)
		to.field(lower(first) + "." + lower(last) + strconv.Itoa(i+1) + "@" + pick(&r, []string{"example.com", "example.net", "example.org"}))
		to.field("(" + strconv.Itoa(r.between(201, 989)) + ") 555-01" + strconv.Itoa(r.between(10, 99)))
		for range 10 { // likesports … likemusicals: yes, no, or never said
			switch r.below(3) {
			case 0:
				to.null()
			case 1:
				to.field("t")
			default:
				to.field("f")
			}
		}
	}
}

func (s *sample) venueRow(i int, to *row) {
	v := s.venues[i]
	to.integer(i + 1)
	to.field(v.name)
	to.field(v.city)
	to.field(v.state)
	if v.seats == 0 {
		to.null()
		return
	}
	to.integer(v.seats)
}

func (s *sample) categoryRow(i int, to *row) {
	c := categories[i]
	to.integer(i + 1)
	to.field(c.group)
	to.field(c.name)
	to.field(c.description)
}

func (s *sample) dateRow(i int, to *row) {
	day := firstDay.AddDate(0, 0, i)
	_, week := day.ISOWeek()
	holiday := "f"
	switch day.Format("01-02") {
	case "01-01", "01-20", "02-17", "05-26", "06-19", "07-04", "09-01", "10-13", "11-11", "11-27", "12-25":
		holiday = "t"
	}
	to.integer(i + 1)
	to.field(day.Format(time.DateOnly))
	to.field(upper(day.Format("Mon")[:2]))
	to.integer(week)
	to.field(upper(day.Format("Jan")))
	to.field(strconv.Itoa((int(day.Month())-1)/3 + 1))
	to.integer(day.Year())
	to.field(holiday)
}

func (s *sample) eventRow(i int, to *row) {
	e := s.events[i]
	at := time.Duration(e.day*24+e.hour)*time.Hour + time.Duration(e.quarters)*15*time.Minute
	to.integer(i + 1)
	to.integer(e.venue + 1)
	to.integer(e.cat + 1)
	to.integer(e.day + 1)
	to.field(e.name)
	to.moment(at)
}

func (s *sample) listingRow(i int, to *row) {
	l := s.listings[i]
	to.integer(i + 1)
	to.integer(l.seller)
	to.integer(l.event + 1)
	to.integer(dayOf(l.at) + 1)
	to.integer(l.tickets)
	to.cents(l.price * 100)
	to.cents(l.price * l.tickets * 100)
	to.moment(l.at)
}

// salesRow sells from nine listings of ten, evenly spread: the rest found no buyer.
func (s *sample) salesRow() func(int, *row) {
	r := random(5)
	return func(i int, to *row) {
		number := i * listingRows / salesRows
		l := s.listings[number]
		sold := r.between(1, l.tickets)
		last := time.Duration(s.events[l.event].day) * 24 * time.Hour // tickets go before the day
		at := l.at + time.Duration(r.next()%uint64(max(last-l.at, time.Hour)))
		at = at.Truncate(time.Second)
		to.integer(i + 1)
		to.integer(number + 1)
		to.integer(l.seller)
		to.integer(1 + r.below(userRows))
		to.integer(l.event + 1)
		to.integer(dayOf(at) + 1)
		to.integer(sold)
		to.cents(l.price * sold * 100)
		to.cents(l.price * sold * 15)
		to.moment(at)
	}
}

func dayOf(at time.Duration) int { return int(at / (24 * time.Hour)) }

func lower(s string) string { return mapASCII(s, 'A', 'Z', 'a'-'A') }
func upper(s string) string { return mapASCII(s, 'a', 'z', -('a' - 'A')) }

func mapASCII(s string, from, to byte, shift int) string {
	mapped := []byte(s)
	for i, c := range mapped {
		if c >= from && c <= to {
			mapped[i] = byte(int(c) + shift)
		}
	}
	return string(mapped)
}

// A row is a line of COPY's text format. The word lists hold nothing that needs escaping.
type row struct {
	text    []byte
	written bool
}

func (r *row) separate() {
	if r.written {
		r.text = append(r.text, '\t')
	}
	r.written = true
}

func (r *row) end() {
	r.text = append(r.text, '\n')
	r.written = false
}

func (r *row) field(s string) {
	r.separate()
	r.text = append(r.text, s...)
}

func (r *row) null() { r.field(`\N`) }

func (r *row) integer(n int) {
	r.separate()
	r.text = strconv.AppendInt(r.text, int64(n), 10)
}

func (r *row) cents(n int) {
	r.integer(n / 100)
	r.text = append(r.text, '.', byte('0'+n/10%10), byte('0'+n%10))
}

func (r *row) moment(d time.Duration) {
	r.separate()
	r.text = firstDay.Add(d).AppendFormat(r.text, time.DateTime)
}
