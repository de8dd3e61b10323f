package output

// An otlpDoubt is an answer that does not say whose fault it is. The OpenTelemetry
// Collector answers INTERNAL (500) both for a record that its pipeline will never take
// and when what lies behind it refuses everything for a while. The protocol has such a
// request dropped; an outage would cost all that is written meanwhile.
type otlpDoubt struct{ err error }

func (e *otlpDoubt) Error() string { return e.err.Error() }

func (e *otlpDoubt) Unwrap() error { return e.err }

// otlpTries is how often a record fails alone before it can be given up.
const otlpTries = 5

// otlpDoubts finds out whose fault doubtful answers are. A request of many records is
// halved. A record that fails alone, again and again, is given up if the far end takes
// others at that time: those around it since the doubt began, or the next one. If there
// is no other, it is tried for ever.
type otlpDoubts struct {
	until int  // the end of the request that began it, in the parcel; 0: there is none
	took  bool // since it began, and since a record was given up, others were accepted
	fails int  // of one record alone
}

// accepted notes that the far end has taken r.
func (d *otlpDoubts) accepted(r *request) {
	d.took, d.fails = true, 0
	d.over(r)
}

func (d *otlpDoubts) over(r *request) {
	if r.to >= d.until {
		d.until = 0
	}
}

// blame is what err, the doubtful answer to r, comes to: itself, for another try, or a
// *refusal. send tries a request that has the next record, and reports whether it was
// accepted.
func (d *otlpDoubts) blame(r *request, err error, send func(next *request) bool) error {
	many := r.count() > 1
	if many || d.until == 0 {
		d.took, d.fails, d.until = false, 0, max(d.until, r.to)
	}
	no := &refusal{refused, err.Error()}
	if many {
		return no
	}
	if d.fails++; d.fails < otlpTries || !d.took && !takesNext(r, send) {
		return err
	}
	d.took, d.fails = false, 0
	d.over(r)
	return no
}

// takesNext reports whether the far end takes the record that comes after r: then that
// one is settled.
func takesNext(r *request, send func(next *request) bool) bool {
	i := r.to
	for i < len(r.items) && r.items[i].settled {
		i++
	}
	next := &request{parcel: r.parcel, from: i, to: i + 1, scratch: r.scratch}
	if i == len(r.items) || !send(next) {
		return false
	}
	next.accept(i)
	return true
}
