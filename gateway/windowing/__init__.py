"""From an oversized request to the window that is forwarded.

    types.py                 the frozen values between the stages; the closed lists of decisions and reasons

In the relay's process:

    decide.py                windowed at all, by what is known before the prompt is read
    pool.py child.py         the windowing processes, a bounded queue before them; frames.py is what they are told
    measuring.py             how large a request is (also the first stage of a window)

In a windowing process (worker.py, ready after a rehearsal.py), window.py takes a body through the stages:

    reading.py spans.py            the messages, and where each text stands in the bytes, as
      conversation.py                of a chat request
      responses.py                   of one to the Responses API
    counting.py                    tokens of each text
    protect.py                     what stays word for word, and the documents that may be trimmed, by way of
      question.py asking.py          the part of the last user message that asks
      instructions.py                reference material in a system message
      material.py lexicon.py         where pasted material begins and ends; words by which it is told
      turns.py jsontext.py           what stays or goes together; elements of a JSON result
    following.py                   what a question leans on that says nothing by itself
    intent.py intent_words.py      does the request need all of it?
    sizing.py                      how large: as asked for, or as the confidence asked for needs
      keep.py                        the selected spans, with all that has to stay beside them
    rewrite.py parts.py markers.py the spliced body, a marker for each gap
    verify.py                      the last look, by other means
    drawing.py strip.py            what was kept and what was not, for the receipt
"""
