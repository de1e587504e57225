// What a lesson reads off the page's address.
import assert from "node:assert/strict";
import { test } from "node:test";

import { baseOf, isDone, withKept } from "../../attnlab/ui/components/guide/address.js";

test("a thing is done when the address holds one of the values, or another one than at the beginning", () => {
  assert.equal(isDone({}, {}, ""), true);
  assert.equal(isDone({ operation: ["Uniform", "Off"] }, {}, "?operation=Uniform&x=1"), true);
  assert.equal(isDone({ operation: ["Uniform"] }, {}, "?operation=Shuffled"), false);
  assert.equal(isDone({ st: ["changed"] }, {}, "?st=0"), true);
  assert.equal(isDone({ img: ["changed"] }, { img: "3" }, "?img=3"), false);
  assert.equal(isDone({ img: ["changed"] }, { img: "3" }, "?img=4"), true);
  assert.equal(isDone({ img: ["changed"] }, { img: "3" }, ""), false, "a parameter may be gone while a page is drawn");
  assert.equal(isDone({ img: ["changed"] }, { img: "3" }, "", true), true, "one that stays away has its usual value");
  assert.equal(isDone({ img: ["changed"] }, {}, "", true), false);
  assert.equal(isDone({ operation: ["Uniform"] }, { operation: "Off" }, "", true), false);
  assert.equal(isDone({ img: ["changed"], st: ["changed"] }, { img: "3" }, "?img=4"), false, "all of them");
});

test("the app's own address is that of a page without the page's part", () => {
  assert.equal(baseOf("/", ""), "/");
  assert.equal(baseOf("/inspect", "inspect"), "/");
  assert.equal(baseOf("/user/anna/proxy/8501/inspect/", "inspect"), "/user/anna/proxy/8501/");
  assert.equal(baseOf("/lab/", ""), "/lab/");
});

test("a step that opens a view keeps what the link of the tab hides and locks", () => {
  assert.equal(withKept("inspect?img=3&step=2", "?hide=menu&lock=run&img=1"), "inspect?img=3&step=2&hide=menu&lock=run");
  assert.equal(withKept("lessons", "?hide=menu"), "lessons?hide=menu");
  assert.equal(withKept("?lesson=a", ""), "?lesson=a");
  assert.equal(withKept("lessons", "?img=1"), "lessons");
});
