// Whether a browser is where the teacher is, and how it gets there.
import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, isThere } from "../../attnlab/ui/components/room/view.js";

test("a browser is there when page and parameters are those of the view, whatever is its own", () => {
  const at = (pathname, search) => isThere({ pathname, search }, "/lab/", "inspect", "run=a&img=3");
  assert.equal(at("/lab/inspect", "?img=3&run=a"), true);
  assert.equal(at("/lab/inspect/", "?img=3&run=a&hide=menu&room=BCDFGH"), true);
  assert.equal(at("/lab/inspect", "?img=3"), false);
  assert.equal(at("/lab/inspect", "?img=3&run=a&surgery=true"), false, "what the teacher has closed again");
  assert.equal(at("/lab/", "?img=3&run=a"), false);
  assert.equal(isThere({ pathname: "/", search: "" }, "/", "", "present=1"), true, "the first page");
});

test("a browser keeps what its link hides and locks, and takes nothing else along", () => {
  assert.equal(addressOf("?hide=menu&lock=run&img=1", "/", "inspect", "run=a"), "/inspect?run=a&hide=menu&lock=run");
  assert.equal(addressOf("", "/lab/", "room", "room=BCDFGH&present=1"), "/lab/room");
  assert.equal(addressOf("", "/", "inspect", "beside=a&beside=b"), "/inspect?beside=a&beside=b");
});
