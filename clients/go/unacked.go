package optistore

// unacked are the messages of a save that are not acknowledged, in their order: those that its stream was given, then those that
// wait for it.
type unacked struct {
	messages  []unackedMessage
	sent      int
	bytes     int
	sentBytes int
	// sentTo is the row behind those that any stream was given.
	sentTo uint64
}

type unackedMessage struct {
	endRow  uint64
	message encoded
}

func (u *unacked) hasUnsent() bool  { return u.sent < len(u.messages) }
func (u *unacked) unsentBytes() int { return u.bytes - u.sentBytes }

func (u *unacked) push(endRow uint64, message encoded) {
	u.messages = append(u.messages, unackedMessage{endRow, message})
	u.bytes += len(message)
}

// next gives the message that is to be sent next, which counts as sent.
func (u *unacked) next() encoded {
	next := u.messages[u.sent]
	u.sent++
	u.sentBytes += len(next.message)
	u.sentTo = max(u.sentTo, next.endRow)
	return next.message
}

// sendAgain makes all wait again.
func (u *unacked) sendAgain() { u.sent, u.sentBytes = 0, 0 }

// ackTo takes out what is durable: rows up to this one, exclusive.
func (u *unacked) ackTo(rows uint64) {
	done := 0
	for done < len(u.messages) && u.messages[done].endRow <= rows {
		bytes := len(u.messages[done].message)
		u.bytes -= bytes
		// What another stream had sent may be acknowledged before this one was given it.
		if done < u.sent {
			u.sentBytes -= bytes
		}
		// Its memory is not held by those behind it.
		u.messages[done].message = nil
		done++
	}
	u.messages = u.messages[done:]
	u.sent = max(u.sent-done, 0)
}
