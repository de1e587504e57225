// @ts-check

/**
 * The result of a computation, kept while what it depends on stays the same.
 * @template Result
 */
export class Latest {
  /** @type {string | null} */ #key = null;
  /** @type {Result | undefined} */ #result = undefined;

  /**
   * @param {string} key what the result depends on
   * @param {() => Result} make
   * @returns {Result}
   */
  get(key, make) {
    if (this.#key !== key) {
      this.#result = make();
      this.#key = key;
    }
    return /** @type {Result} */ (this.#result);
  }
}
