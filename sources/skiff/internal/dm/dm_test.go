// Tests of the ioctl's encoding, with answers laid out by hand as <linux/dm-ioctl.h> says, and of
// the verity line.

package dm

import (
	"encoding/binary"
	"strings"
	"testing"
)

// answer is what the kernel writes for one target.
func answer(count, flags uint32, kind, params string) []byte {
	buf := request(254, 0, flags)
	le := binary.NativeEndian
	le.PutUint32(buf[12:], uint32(headerSize+specSize+len(params)+1))
	le.PutUint32(buf[20:], count)
	copy(buf[nameOffset:], "root")
	spec := buf[headerSize:]
	le.PutUint64(spec[8:], 65536)
	copy(spec[24:], kind)
	copy(spec[specSize:], params+"\x00")
	return buf
}

func TestParse(t *testing.T) {
	got, err := parse(answer(1, flagReadOnly, "verity", "V"))
	want := Target{ReadOnly: true, Sectors: 65536, Type: "verity", Params: "V"}
	if err != nil || got != want {
		t.Errorf("parse = %+v, %v; want %+v", got, err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	outside := answer(1, 0, "verity", "V")
	binary.NativeEndian.PutUint32(outside[16:], bufferSize)
	tests := []struct {
		name   string
		answer []byte
		want   string
	}{
		{"two targets", answer(2, 0, "linear", ""), `device "root" has 2 targets`},
		{"truncated", answer(1, flagBufferFull, "verity", "V"), "does not fit"},
		{"short", make([]byte, 100), "shorter than its header"},
		{"target outside", outside, "lies outside"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parse(test.answer); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("parse = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(answer(1, 0, "verity", "V"))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parse(b) }) // must not panic, whatever comes
}

func TestDeviceNumber(t *testing.T) {
	// As the kernel's huge_encode_dev gives them; 254:0 is a usual number of dm-0.
	for _, test := range []struct {
		major, minor uint32
		want         uint64
	}{{254, 0, 0xfe00}, {8, 17, 0x811}, {259, 300, 0x11032c}} {
		if got := deviceNumber(test.major, test.minor); got != test.want {
			t.Errorf("deviceNumber(%d, %d) = %#x, want %#x", test.major, test.minor, got, test.want)
		}
	}
}

func TestTableStatusNumber(t *testing.T) {
	// DM_TABLE_STATUS as strace and lvm2 print it.
	if tableStatus != 0xc138fd0c {
		t.Errorf("DM_TABLE_STATUS = %#x, want 0xc138fd0c", tableStatus)
	}
}

func TestParseVerity(t *testing.T) {
	const line = "1 254:4 254:5 4096 4096 2560 1 sha256 9f86d0 e3b0c4 2 restart_on_corruption " +
		"ignore_zero_blocks"
	got, err := ParseVerity(line)
	want := Verity{Algorithm: "sha256", RootHash: "9f86d0", Salt: "e3b0c4", DataBytes: 2560 * 4096}
	if err != nil || got != want {
		t.Errorf("ParseVerity = %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{
		"", "1 254:4 254:5", strings.Replace(line, "2560", "x", 1),
		strings.Replace(line, "2560", "-1", 1),
		strings.Replace(line, "4096", "0", 1), strings.Replace(line, "2560", "9223372036854775807", 1),
	} {
		if v, err := ParseVerity(bad); err == nil {
			t.Errorf("ParseVerity(%q) = %+v, want an error", bad, v)
		}
	}
}

func TestIntact(t *testing.T) {
	for status, intact := range map[string]bool{"V": true, "V 12": true, "C": false, "C 3": false,
		"": false, "VC": false} {
		if err := Intact(status); (err == nil) != intact {
			t.Errorf("Intact(%q) = %v, want intact = %t", status, err, intact)
		}
	}
}
