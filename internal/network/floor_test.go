package network

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestFloor: what counts is each window, not the average.
func TestFloor(t *testing.T) {
	floor := Floor{Bytes: 100, Window: time.Minute}
	for name, c := range map[string]struct {
		minutes []int // bytes in each
		ends    bool  // in the minute after those
	}{
		"nothing":         {nil, true},
		"just enough":     {[]int{100, 100, 100, 100}, true},
		"a fast start":    {[]int{1 << 40}, true},
		"one byte less":   {[]int{100, 99, 100}, true},
		"stopped in time": {[]int{100, 100}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow []error
				m := floor.Watch(func(err error) { slow = append(slow, err) })
				for i, n := range c.minutes {
					m.Add(n)
					time.Sleep(time.Minute) // virtual
					synctest.Wait()
					if (len(slow) > 0) != (n < 100 || i > 0 && c.minutes[i-1] < 100) {
						t.Fatalf("after minute %d: %v", i, slow)
					}
				}
				if !c.ends {
					m.Stop()
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if (len(slow) == 1) != c.ends || len(slow) > 1 {
					t.Fatalf("told %v", slow)
				}
				var e *SlowError
				if c.ends && (!errors.As(slow[0], &e) || e.Floor != floor) {
					t.Errorf("%v", slow[0])
				}
			})
		})
	}
}
